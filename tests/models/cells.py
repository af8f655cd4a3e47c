"""Every model that the configuration files can make, so small that all its x can be counted."""

import itertools
import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from dgm_run.config import PARTS, compose, conf_dir, instantiate, validate
from dgm_run.errors import ConfigError
from dgm_run.models.base import LatentVariableModel
from dgm_run.signature import target_of

# knobs by name, wherever they stand; noise wide enough that importance sampling from a rough q works
SMALL = {"latent_dim": 2, "hidden_dims": [5], "num_components": 3, "scale": 1.5, "log_scale": -1.0}
SHAPES = {"binary": (1, 2, 2), "levels": (1, 1, 2), "continuous": (1, 1, 1)}
NUM_LEVELS = {"binary": 2, "levels": 3, "continuous": None}
STEP = 0.25  # between the points of the grid that stands for a real pixel


class Cell(NamedTuple):
    """A model, a choice of every part, and the kind of data its likelihood is a density of."""

    model: str
    parts: tuple[str | None, ...]
    data: str

    def __str__(self) -> str:
        return "-".join(filter(None, (self.model, *self.parts, self.data)))


def choices(group: str) -> list[str]:
    """The choices of a group: its files."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def cells() -> Iterator[Cell]:
    """Every latent-variable model with every choice of its parts; `refusal` says which do not go together."""
    for model in choices("model"):
        base = _base(model)
        if not issubclass(target_of(base.model, "model"), LatentVariableModel):
            continue
        options = [choices(part) if base[part] is not None else [None] for part in PARTS]
        for parts in itertools.product(*options):
            yield from (Cell(model, parts, kind) for kind in _kinds(parts[PARTS.index("likelihood")]))


def _kinds(likelihood: str | None) -> tuple[str, ...]:
    takes = target_of(_part("likelihood", likelihood), "likelihood").takes if likelihood else ("binary",)
    # what is a density over the reals does not sum to one over levels
    return ("continuous",) if "continuous" in takes else takes


@cache
def refusal(cell: Cell) -> str | None:
    """Why the configuration is refused; None where it is not."""
    try:
        validate(config(cell))
    except ConfigError as error:
        return str(error)
    return None


@cache
def _base(model: str) -> DictConfig:
    return compose("dataset=arrays", "dataset.source.path=none", f"model={model}")


@cache
def _part(group: str, name: str) -> DictConfig:
    return OmegaConf.load(conf_dir() / group / f"{name}.yaml")


def config(cell: Cell) -> DictConfig:
    """What the command line would compose for this cell, made small."""
    cfg = _base(cell.model).copy()
    for part, name in zip(PARTS, cell.parts, strict=True):
        if name is not None:
            cfg[part] = _part(part, name)
    cfg.dataset.shape, cfg.dataset.num_levels = SHAPES[cell.data], NUM_LEVELS[cell.data]
    for group in ("model", *PARTS):
        for knob, value in SMALL.items():
            if cfg[group] is not None and knob in cfg[group]:
                cfg[group][knob] = value
    return cfg


def every_x(kind: str) -> tuple[Tensor, float]:
    """All x of a kind, (N, *shape), and the volume that each stands for."""
    shape, num_levels = SHAPES[kind], NUM_LEVELS[kind]
    if num_levels is None:
        return torch.arange(-15, 15, STEP).view(-1, *shape), STEP ** math.prod(shape)
    levels = torch.tensor(list(itertools.product(range(num_levels), repeat=math.prod(shape))))
    return (levels / (num_levels - 1)).to(torch.get_default_dtype()).view(-1, *shape), 1.0


def position(x: Tensor, kind: str) -> Tensor:
    """Where discrete examples x stand in `every_x`."""
    levels = (x * (NUM_LEVELS[kind] - 1)).round().long().flatten(1)
    return (levels * NUM_LEVELS[kind] ** torch.arange(levels.shape[1]).flip(0)).sum(1)


@cache
@torch.enable_grad()
def randomised(cell: Cell) -> LatentVariableModel:
    """The model at random weights, far from where it starts, its posterior then drawn towards its own (x, z).

    Without the last step importance weights have no finite variance and the tests no power. The mass is one
    at any weights, so nothing is proved by the step.
    """
    if refusal(cell):
        pytest.skip(refusal(cell))
    torch.manual_seed(0)
    model = instantiate(config(cell).model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        for parameter in model.posterior.parameters():
            parameter.normal_(0.8 if parameter.dim() == 1 else 0.0, 0.3)  # wide, as biases open the variances
    x, _ = every_x(cell.data)
    x = x[x.flatten(1).abs().amax(1) <= 2]
    for part in model.modules():
        if hasattr(part, "initialize"):
            part.initialize(x)
    _fit_posterior(model, steps=60)
    return model.requires_grad_(True).eval()


def _fit_posterior(model: LatentVariableModel, steps: int) -> None:
    optimizer = torch.optim.Adam(model.posterior.parameters(), lr=0.03)
    for _ in range(steps):
        with torch.no_grad():
            z = model.latent_prior().sample((100,))
            x = model.decode(z).sample()
        optimizer.zero_grad()
        (-model.infer(x).log_prob(z).mean()).backward()
        optimizer.step()


@cache
@torch.no_grad()
def estimated_p(cell: Cell, num_samples: int) -> tuple[Tensor, Tensor]:
    """The probability of every x by importance sampling, and its standard error, each (N,)."""
    x, volume = every_x(cell.data)
    torch.manual_seed(1)
    w = volume * randomised(cell).log_weights(x, num_samples).exp()  # (S, N)
    return w.mean(0), w.std(0) / math.sqrt(num_samples)
