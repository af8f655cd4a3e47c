"""dgm-run itself, built from its own configuration."""

from collections.abc import Callable
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from benchmarks.table import Options
from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.signals import StopRequest
from dgm_run.objectives.base import Progress
from dgm_run.recording.silent import NoCheckpoints, SilentDisplay, SilentLog
from dgm_run.trainers.base import RunContext
from dgm_run.trainers.median_stopping import MedianStopping


def config(*overrides: str) -> DictConfig:
    """Composes the reference VAE on MNIST; its training has no end."""
    return compose("dataset=mnist", "trainer.patience=null", "trainer.max_epochs=1000000", *overrides)


def model_of(cfg: DictConfig, device: torch.device) -> nn.Module:
    return instantiate(cfg.model).to(device)


def trainer_loop(data: LoadedDataset, options: Options, steps: int, *overrides: str) -> Callable[[], object]:
    """`steps` steps of `TrainingLoop.run`, with everything it does on the way and at the end of an epoch."""
    cfg = config(*overrides)
    context = RunContext(
        seed=0,
        checkpoints=NoCheckpoints(),
        log=SilentLog(),
        display=SilentDisplay(),
        stop=StopRequest(),
        median_stopping=MedianStopping(Path()),
        callbacks={},
        folder=Path(),
        pruning=None,
        pictures=lambda step, epoch: None,
        config={},
        resume=None,
    )
    model = model_of(cfg, options.device)
    loop = instantiate(cfg.trainer).make_loop(model, instantiate(cfg.objective), data, context)

    def run() -> None:
        loop.total_steps = loop.num_steps + steps
        loop.run()

    return run


def bare_loop(data: LoadedDataset, options: Options, steps: int, *overrides: str) -> Callable[[], object]:
    """`steps` steps of the same model, objective, data and optimizer without a trainer."""
    cfg = config(*overrides)
    model, objective = model_of(cfg, options.device), instantiate(cfg.objective)
    optimizer = instantiate(cfg.optimizer)(model.parameters())
    state = objective.init_state(model, data.train.batch(slice(0, cfg.trainer.batch_size)))
    progress = Progress(torch.zeros((), device=options.device), state)
    order = torch.randperm(len(data.train), device=options.device).split(cfg.trainer.batch_size)

    def run() -> None:
        for index in order[:steps]:
            loss, _ = objective(model, data.train.batch(index), progress)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return run


def likelihood(data: LoadedDataset, options: Options, images: int, *overrides: str) -> Callable[[], object]:
    """The importance-sampling estimate of so many test images."""
    cfg = config(*overrides)
    model = model_of(cfg, options.device).eval()
    estimator = instantiate(cfg.estimators.importance_sampling)
    examples = DataSplit(data.test.x[:images], None, data.test.prepare)
    return lambda: estimator(model, examples)
