"""pythae 0.1.2 (https://github.com/clementchadebec/benchmark_VAE) on the same network, by its own trainer."""

import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import IWAE, VAE, VAMP, IWAEConfig, VAEConfig, VAMPConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler
from torch import Tensor

from benchmarks import plain
from benchmarks.data import SHAPE
from benchmarks.table import Options
from dgm_run.data.dataset import LoadedDataset

logging.disable(logging.WARNING)  # pythae tells of each trainer it builds


class Encoder(BaseEncoder):
    def __init__(self):
        BaseEncoder.__init__(self)
        self.network = plain.Encoder()

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_var = self.network(x)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class Decoder(BaseDecoder):
    def __init__(self):
        BaseDecoder.__init__(self)
        self.network = plain.decoder()

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z).unflatten(-1, SHAPE))


def model(components: int, samples: int) -> VAE:
    """Builds the VAE, with a VampPrior if `components` > 0, importance weighted if `samples` > 1."""
    settings = {"input_dim": SHAPE, "latent_dim": plain.LATENT_DIM, "reconstruction_loss": "bce"}
    if components:
        return VAMP(VAMPConfig(**settings, number_components=components), Encoder(), Decoder())
    if samples > 1:
        return IWAE(IWAEConfig(**settings, number_samples=samples), Encoder(), Decoder())
    return VAE(VAEConfig(**settings), Encoder(), Decoder())


def trainer_loop(
    data: LoadedDataset, options: Options, steps: int, components: int, samples: int
) -> Callable[[], object]:
    """Returns a function that trains one epoch of `steps` batches, without a progress bar."""
    count = steps * plain.BATCH_SIZE
    dataset = BaseDataset((data.train.x[:count].cpu() > 127).float(), torch.zeros(count))
    trainer = BaseTrainer(model(components, samples), dataset, training_config=_settings(options))
    with tempfile.TemporaryDirectory() as folder:
        trainer.training_config.output_dir = folder
        trainer.prepare_training()
    trainer.callback_handler = CallbackHandler([], trainer.model)
    return lambda: trainer.train_step(epoch=1)


def _settings(options: Options) -> BaseTrainerConfig:
    return BaseTrainerConfig(
        per_device_train_batch_size=plain.BATCH_SIZE,
        learning_rate=5e-4,
        no_cuda=options.device.type == "cpu",
    )


def likelihood(
    data: LoadedDataset, options: Options, images: int, components: int, samples: int, rows: int
) -> Callable[[], object]:
    """`get_nll` of so many test images, `rows` samples at a time."""
    peer = model(components, samples=1).to(options.device).eval()
    x = data.test.batch(slice(0, images))

    def run() -> None:
        with torch.no_grad(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            peer.get_nll(x, n_samples=samples, batch_size=rows)

    return run
