import pytest
import torch

from dgm_run.objectives.base import Objective, Progress, linear_warmup
from dgm_run.objectives.elbo import ELBO
from dgm_run.objectives.iwae import IWAE
from dgm_run.objectives.renyi import Renyi
from tests.support import exact

OBJECTIVES = [
    ELBO(num_samples=2, beta=1.0, warmup_epochs=0, warmup="linear", free_bits=0.0),
    IWAE(num_samples=2, gradient="dreg"),
    Renyi(num_samples=2, alpha=0.5),
]


@pytest.mark.parametrize(
    ("epoch", "expected"), [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (4, 1.0), (1000, 1.0), (1.9, 0.5)]
)
def test_linear_warmup_stays_at_one(epoch, expected):
    assert float(linear_warmup(Progress(torch.tensor(float(epoch)), {}), 4)) == expected


def test_no_warmup_has_weight_one():
    assert linear_warmup(None, 10) == 1.0
    assert linear_warmup(Progress(torch.tensor(0.0), {}), 0) == 1.0
    assert linear_warmup(None, 0) == 1.0


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_terms_are_scalars_with_monitor(objective):
    loss, terms = objective(exact.toy("standard"), torch.randn(5, 1))
    assert loss.shape == ()
    assert loss.requires_grad
    assert all(value.shape == () for value in terms.values())
    assert objective.monitor in terms


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_settings_are_frozen(objective):
    with pytest.raises(AttributeError):
        objective.num_samples = 3
    assert objective.num_warmup_epochs == 0


def test_call_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Objective()
