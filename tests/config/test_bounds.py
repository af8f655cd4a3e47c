import math
from collections.abc import Sequence
from typing import Annotated

import pytest
import torch

from dgm_run.config.bounds import DECAY, RANGES, TORCH_RANGES, Range, check_range
from dgm_run.errors import ConfigError
from dgm_run.objectives.renyi import Renyi
from dgm_run.objectives.semi_supervised import SemiSupervised
from dgm_run.trainers.adam_norm_grad import AdamNormGrad
from dgm_run.trainers.gradient import GradientTrainer


class OfAUser:
    def __init__(self, num_rings: int, width: Annotated[float, Range(2, 3, below=True)] = 2.0):
        pass


def refusal(value, target, name):
    with pytest.raises(ConfigError) as error:
        check_range(value, target, name, f"group.{name}")
    return str(error.value)


@pytest.mark.parametrize("name", [*RANGES, "init_mean", "log_scale", "num_anything", "some_dim"])
def test_nan_is_refused_under_every_name(name):
    values = [math.nan] * (RANGES.get(name, Range()).length or 1)
    assert "must be" in refusal(values if name in RANGES else math.nan, GradientTrainer, name)


@pytest.mark.parametrize("name", TORCH_RANGES)
def test_nan_is_refused_of_optimizers(name):
    assert f"group.{name} = " in refusal([math.nan] * 2, torch.optim.SGD, name)


@pytest.mark.parametrize(
    ("value", "target", "name", "expected"),
    [
        (-1, torch.optim.Adam, "lr", "group.lr = -1 must be greater than 0"),
        (0.0, torch.optim.Adam, "lr", "group.lr = 0.0 must be greater than 0"),
        (0, AdamNormGrad, "lr", "group.lr = 0 must be greater than 0"),
        (math.inf, torch.optim.Adam, "lr", "group.lr = inf must be finite and greater than 0"),
        (2, torch.optim.SGD, "momentum", "group.momentum = 2 must be in [0, 1)"),
        (1, torch.optim.SGD, "momentum", "group.momentum = 1 must be in [0, 1)"),
        ([0.9], torch.optim.Adam, "betas", "group.betas = [0.9] must be 2 numbers, each in [0, 1)"),
        ([0.9, 1], torch.optim.Adam, "betas", "group.betas = [0.9, 1]: each must be in [0, 1)"),
        ("x", torch.optim.lr_scheduler.MultiStepLR, "gamma", "group.gamma = x must be greater than 0"),
        (1, GradientTrainer, "ema_decay", "group.ema_decay = 1 must be in (0, 1), or null"),
        (0, GradientTrainer, "batch_size", "group.batch_size = 0 must be at least 1"),
        (2**63, GradientTrainer, "batch_size", f"group.batch_size = {2**63} is too large: integers have 64 bits"),
        (math.nan, Renyi, "alpha", "group.alpha = nan must be a number"),
        (-0.1, SemiSupervised, "alpha", "group.alpha = -0.1 must be at least 0"),
        (3, OfAUser, "width", "group.width = 3 must be in [2, 3)"),
        (math.inf, OfAUser, "width", "group.width = inf must be in [2, 3)"),
    ],
)
def test_number_out_of_range_refused_with_it(value, target, name, expected):
    assert refusal(value, target, name) == expected


@pytest.mark.parametrize(
    ("value", "target", "name"),
    [
        (-math.inf, Renyi, "alpha"),
        (-2.5, Renyi, "alpha"),
        (None, GradientTrainer, "ema_decay"),
        (0, torch.optim.SGD, "momentum"),
        ([0, 0.999], torch.optim.Adam, "betas"),
        (True, GradientTrainer, "compile"),
        ("model", GradientTrainer, "scale"),
        (-3, OfAUser, "num_rings"),  # a class of the user's own has no ranges by name
        ([], GradientTrainer, "hidden_dims"),
    ],
)
def test_a_number_in_range_is_taken(value, target, name):
    assert check_range(value, target, name, "key") is None


def test_range_found_in_optional_annotation():
    def build(rate: Annotated[float, DECAY] | None, sizes: Annotated[Sequence[float], DECAY] = ()):
        return rate, sizes

    assert refusal(1, build, "rate") == "group.rate = 1 must be in [0, 1), or null"
    assert refusal([0.5, 1], build, "sizes") == "group.sizes = [0.5, 1]: each must be in [0, 1)"
