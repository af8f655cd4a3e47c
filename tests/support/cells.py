"""Models of every combination in the configuration files, so small that all their x can be counted."""

import itertools
import math
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import NamedTuple

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from dgm_run.config.compose import compose, instantiate
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.schema import PARTS
from dgm_run.config.signature import import_target
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.proposals import choose_prior_draws, weigh_defensive_samples
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.labelled.base import LabelledModel
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.models.latent.dlgm import DLGM
from dgm_run.models.latent.gan import GAN
from dgm_run.models.latent.hvae import HVAE
from dgm_run.posteriors.base import ImplicitPosterior
from dgm_run.posteriors.full_gaussian import FullGaussianPosterior
from dgm_run.posteriors.gaussian_process import GaussianProcessPosterior
from dgm_run.posteriors.kumaraswamy import KumaraswamyPosterior
from dgm_run.priors.autoregressive import AutoregressivePrior

# knobs by name, wherever they stand; noise wide enough that importance sampling from a rough q works
SMALL = {
    **{
        "latent_dim": 2,
        "total_dim": 3,
        "upper_dim": 1,
        "hidden_dims": [5],
        "num_components": 3,
        "scale": 1.5,
        "log_scale": -1.0,
    },
    **{"num_steps": 2, "num_matrices": 2, "num_vectors": 1, "context_dim": 3, "concentration": 1.5},
    **{"kernel_sizes": [3], "strides": [1], "base_channels": 2, "map_channels": 2, "num_blocks": 1},
    **{"input_dim": 2, "num_points": 3, "hidden_dim": 5},
}
SHAPES = {"binary": (1, 2, 2), "levels": (1, 1, 2), "continuous": (1, 1, 1)}
NUM_LEVELS = {"binary": 2, "levels": 3, "continuous": None}
OTHER_SIZES = {("encoder", "dcgan"), ("decoder", "dcgan")}
OF_SENTENCES = {
    ("encoder", "rnn"),
    ("decoder", "rnn"),
    ("model", "sentence_vae"),
}  # see tests/distributions/test_sentence.py
OF_TABLES = {("encoder", "table"), ("likelihood", "mixed")}  # see tests/distributions/test_mixed.py
CLOSEST = (("encoder", "decoder"), ("likelihood", "decoder"), ("posterior", "prior"))
NOISE = {"prior": 0.15, "posterior": 0.1}  # added to the weights of these parts, 0.3 to others
NUM_SAMPLES = 2500  # of importance sampling, for every x
PRIOR_WEIGHT = 0.3  # share of the prior among them
STEP = 0.5  # between the points of the grid that stands for a real pixel


class Cell(NamedTuple):
    """A model, a choice of every part, and the kind of data its likelihood is a density of."""

    model: str
    parts: tuple[str | None, ...]
    data: str

    def __str__(self) -> str:
        return "-".join(filter(None, (self.model, *self.parts, self.data)))


def choices(group: str) -> list[str]:
    """The choices of a group: its files, but for posteriors without a density, other sizes of the same class, and what
    is of sentences or of tables.
    """
    left_out = OTHER_SIZES | OF_SENTENCES | OF_TABLES
    names = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return [name for name in names if not _is_implicit(group, name) and (group, name) not in left_out]


def _is_implicit(group: str, name: str) -> bool:
    """Returns whether a choice is an implicit posterior: without a density there is no mass to sum."""
    return group == "posterior" and issubclass(import_target(_part(group, name), group), ImplicitPosterior)


def cells() -> Iterator[Cell]:
    """The VAE with every pair of choices of its parts, models like it with the pairs that lie closest together.

    What is not of the pair is the default; `refusal` says which do not go together.
    """
    for model in choices("model"):
        target = import_target(_part("model", model), "model")
        if (
            not isinstance(target, type)
            or not issubclass(target, LatentVariableModel)
            or issubclass(target, GAN | LabelledModel)
        ):
            continue  # a GAN is, as a density, its decoder; a label is not summed by quadrature
        base = _base(model)
        default = {part: _default(base, part) for part in PARTS}
        taken = [part for part in PARTS if default[part] is not None]
        seen = set()
        pairs = itertools.combinations(taken, 2) if model == "vae" else CLOSEST
        for one, other in (pair for pair in pairs if set(pair) <= set(taken)):
            for pair in itertools.product(choices(one), choices(other)):
                parts = tuple((default | {one: pair[0], other: pair[1]}).values())
                if parts not in seen:
                    seen.add(parts)
                    yield from (Cell(model, parts, kind) for kind in _kinds(parts[PARTS.index("likelihood")]))


def covering(cells: list[Cell]) -> set[Cell]:
    """Cells with every pair of parts on which a density depends jointly, and with every part in every model.

    The mass and the samples factor through posterior and prior, and through decoder and likelihood. So VAEs are taken
    with a third of these pairs, in which every part meets several others, and other models, or other pairs, with one
    part at a time that is not the default. The model of M1 is a VAE, and taken once.
    """
    return {cell for cell in cells if _is_covering(cell)}


def single_changes(cells: list[Cell]) -> set[Cell]:
    """Cells with one part at most that is not the default: bounds are ordered whatever log weights they average."""
    return {cell for cell in cells if _is_covering(cell) and len(_changed_parts(cell)) < 2}


def _changed_parts(cell: Cell) -> set[str]:
    parts = zip(PARTS, cell.parts, _usual(cell.model), strict=True)
    return {part for part, name, usual in parts if name != usual}


def _is_covering(cell: Cell) -> bool:
    changed = _changed_parts(cell)
    if cell.model == "m1":
        return not changed
    if len(changed) < 2:
        return True
    if cell.model != "vae" or changed not in ({"posterior", "prior"}, {"decoder", "likelihood"}):
        return False
    return sum(choices(part).index(cell.parts[PARTS.index(part)]) for part in changed) % 3 == 0


@cache
def _usual(model: str) -> tuple[str | None, ...]:
    return tuple(_default(_base(model), part) for part in PARTS)


def _default(base: DictConfig, part: str) -> str | None:
    """The choice of a part that the model's configuration holds."""
    if base[part] is None:
        return None
    (name,) = (name for name in choices(part) if _part(part, name)._target_ == base[part]._target_)
    return name


def _kinds(likelihood: str | None) -> tuple[str, ...]:
    takes = import_target(_part("likelihood", likelihood), "likelihood").takes if likelihood else ("binary",)
    # what is a density over the reals does not sum to one over levels
    return ("continuous",) if "continuous" in takes else takes


@cache
def refusal(cell: Cell) -> str | None:
    """Returns the message that refuses the configuration; None for a valid one."""
    try:
        validate(config(cell))
        instantiate(config(cell).model)
    except ConfigError as error:
        return str(error)
    return None


@cache
def _base(model: str) -> DictConfig:
    return compose("dataset=arrays", "dataset.source.path=none", f"model={model}")


@cache
def _part(group: str, name: str) -> DictConfig:
    node = OmegaConf.load(conf_dir() / group / f"{name}.yaml")
    return node.get(group, node)


def config(cell: Cell) -> DictConfig:
    """Composes this cell as the command line would, but small; the caller may change the result."""
    return deepcopy(_compose_cell(cell))


@cache
def _with(model: str, part: str, name: str) -> DictConfig:
    return compose("dataset=arrays", "dataset.source.path=none", f"model={model}", f"{part}={name}")


@cache
def _compose_cell(cell: Cell) -> DictConfig:
    cfg = deepcopy(_base(cell.model))
    for part, name, usual in zip(PARTS, cell.parts, _usual(cell.model), strict=True):
        if name != usual:  # composing takes most of the time of a cell, and no choice changes another part
            cfg[part] = _with(cell.model, part, name)[part]
            if part == "likelihood":
                cfg.estimators = _with(cell.model, part, name).estimators
    cfg.dataset.shape, cfg.dataset.num_levels = SHAPES[cell.data], NUM_LEVELS[cell.data]
    for group in ("model", *PARTS):
        for knob, value in SMALL.items():
            if cfg[group] is not None and knob in cfg[group] and not OmegaConf.is_interpolation(cfg[group], knob):
                cfg[group][knob] = value
        if cfg[group] is not None and "channels" in cfg[group]:
            cfg[group].channels = [3]
        if cfg[group] is not None and "network" in cfg[group]:
            cfg[group].network.update({"channels": 3, "first_kernel_size": 3, "num_layers": 2})
    return cfg


def every_x(kind: str) -> tuple[Tensor, float]:
    """Returns every x of a kind, (N, *shape), and the volume that each stands for."""
    shape, num_levels = SHAPES[kind], NUM_LEVELS[kind]
    if num_levels is None:
        return torch.arange(-60, 60, STEP).view(-1, *shape), STEP ** math.prod(shape)
    levels = torch.tensor(list(itertools.product(range(num_levels), repeat=math.prod(shape))))
    return (levels / (num_levels - 1)).to(torch.get_default_dtype()).view(-1, *shape), 1.0


def position(x: Tensor, kind: str) -> Tensor:
    """Returns the positions of discrete examples x in `every_x`."""
    levels = (x * (NUM_LEVELS[kind] - 1)).round().long().flatten(1)
    return (levels * NUM_LEVELS[kind] ** torch.arange(levels.shape[1]).flip(0)).sum(1)


@cache
def randomise_model(cell: Cell) -> LatentVariableModel:
    """The model at random weights, far from where it starts, with a q that is wider than its posterior.

    The mass is one at any weights; but where q is narrow importance weights have no finite variance, and the tests
    no power.
    """
    if refusal(cell):
        pytest.skip(refusal(cell))
    torch.manual_seed(0)
    model = instantiate(config(cell).model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = NOISE.get(name.partition(".")[0], 0.3)
            if isinstance(getattr(model, "prior", None), AutoregressivePrior) and name.startswith("prior."):
                scale = 0.05  # its scales are exponentials, and no q is as wide as their tails
            parameter.add_(scale * torch.randn_like(parameter))
        _widen(model, cell.data)
    x, _ = every_x(cell.data)
    x = x[x.flatten(1).abs().amax(1) <= 2]
    for part in model.modules():
        if hasattr(part, "initialize"):
            part.initialize(x)
    return model.eval()


def _widen(model: LatentVariableModel, kind: str) -> None:
    if isinstance(model, DensityNetwork):
        return  # its q is the prior
    head, dim = model.posterior.head, SMALL["latent_dim"]
    x, _ = every_x(kind)
    head.weight.normal_(0, 0.3 / model.posterior.encoder(x).abs().max().clamp(min=1))
    head.bias.normal_(0, 0.2)
    if isinstance(model.posterior, KumaraswamyPosterior):
        head.bias += 0.8  # both shapes near one: wider than a Gaussian on the axis of log-odds
    elif isinstance(model.posterior, GaussianProcessPosterior):
        head.bias[:dim] += 1.9
        model.posterior.input_head.linear.weight.mul_(0.1)
        model.posterior.input_head.linear.bias[-SMALL["input_dim"] :] = -1.0  # narrower than its noise
    elif isinstance(model.posterior, FullGaussianPosterior):
        head.bias[dim:] += 2.0
    else:
        head.bias[dim : 2 * dim] += 1.9  # log-variances
        head.bias[2 * dim :] *= 0.5  # of the steps of a flow, where there are any
    if isinstance(model, HVAE):
        model.joint.first.weight.div_(model.encoder(x).abs().max().clamp(min=1))
    if isinstance(model, (HVAE, DLGM)):
        for layer, log_var in ((model.recognition, 1.2), (model.generation, -0.2)):
            layer.linear.weight.mul_(0.2)
            layer.linear.bias[len(layer.linear.bias) // 2 :] = log_var


def _log_weights(model: LatentVariableModel, x: Tensor) -> Tensor:
    """Log weights of draws of q and of the prior under their mixture; of q alone where it has no density, (S, N)."""
    q, p = model.infer(x), model.latent_prior()
    from_prior = choose_prior_draws(NUM_SAMPLES, PRIOR_WEIGHT, x.device)
    try:
        return weigh_defensive_samples(model, x, q, p, PRIOR_WEIGHT, from_prior)[0]
    except NotImplementedError:
        return model.log_weights(x, NUM_SAMPLES)


@cache
@torch.no_grad()
def estimated_p(cell: Cell) -> tuple[Tensor, Tensor]:
    """The probability of every x by importance sampling, and its standard error, each (N,).

    Samples of the prior among those of q find what q misses: a mode, or tails that are heavier than its own. Where q
    has no density at them it has to do alone.
    """
    x, volume = every_x(cell.data)
    torch.manual_seed(1)
    w = volume * _log_weights(randomise_model(cell), x).exp()  # (S, N)
    return w.mean(0), w.std(0) / math.sqrt(NUM_SAMPLES)
