"""Measures the training speed of a convolutional VAE, against a loop over the same layers as tutorials write them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import ours, plain
from benchmarks.data import load
from benchmarks.table import BARE, LOADER, Contender, Options, Ratios, measure, show
from dgm_run.distributed.device import has_bf16_units

OVERRIDES = ("encoder=conv", "decoder=conv")
LATENT_DIM = 40


def run(options: Options) -> Ratios:
    data, steps = load(options.device), options.turns(10)
    runs = {"dgm-run": ours.trainer_loop(data, options, steps, *OVERRIDES)}
    if options.compile:
        runs["dgm-run, trainer.compile=true"] = ours.trainer_loop(
            data, options, steps, "trainer.compile=true", *OVERRIDES
        )
        if has_bf16_units(options.device):
            bf16 = ["trainer.compile=true", "trainer.precision=bf16", *OVERRIDES]
            runs["dgm-run, the same in bf16"] = ours.trainer_loop(data, options, steps, *bf16)
    runs[BARE] = ours.bare_loop(data, options, steps, *OVERRIDES)
    runs[LOADER] = plain.loop_of(PlainConvVAE(), data, options, steps)
    contenders = [Contender(name, steps * plain.BATCH_SIZE, turn) for name, turn in runs.items()]
    return show("VAE of five convolutions up and two down: training", measure(contenders, options))


class GatedConv(nn.Module):
    """A convolution times the sigmoid of another."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__()
        settings = (in_channels, out_channels, kernel_size, stride, kernel_size // 2)
        self.value, self.gate = nn.Conv2d(*settings), nn.Conv2d(*settings)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


class PlainConvVAE(nn.Module):
    """The ELBO by one sample."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            *(GatedConv(1, 32, 7), GatedConv(32, 32, 3, 2), GatedConv(32, 64, 5), GatedConv(64, 64, 3, 2)),
            *(GatedConv(64, 6, 3), nn.Flatten()),
        )
        self.mean, self.log_var = nn.Linear(294, LATENT_DIM), nn.Linear(294, LATENT_DIM)
        self.decoder = nn.Sequential(
            *(nn.Linear(LATENT_DIM, 32 * 49), nn.Unflatten(1, (32, 7, 7))),
            *(nn.Upsample(scale_factor=2), GatedConv(32, 64, 3), nn.Upsample(scale_factor=2), GatedConv(64, 32, 3)),
            *(nn.Conv2d(32, 1, 1), nn.Sigmoid()),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.encoder(x)
        mean, log_var = self.mean(h), F.hardtanh(self.log_var(h), -6, 2)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        log_px = -F.binary_cross_entropy(self.decoder(z), x, reduction="none").sum((1, 2, 3))
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)
        return (kl - log_px).mean()
