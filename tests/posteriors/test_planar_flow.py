import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.planar_flow import PlanarFlowPosterior, PlanarStep
from tests.support.contracts import check_flow_posterior, check_step

SHAPE = (1, 2, 2)


def step(scale=2.0, dtype=torch.float64):
    torch.manual_seed(0)
    return PlanarStep(*(scale * torch.randn(3, 4, dtype=dtype) for _ in range(2)), torch.randn(3, dtype=dtype))


def test_a_step_returns_its_log_determinant():
    check_step(step(), 3, 4, invertible=False)


def test_a_small_w_moves_little():
    small = PlanarStep(*(1e-4 * torch.randn(3, 4).double() for _ in range(2)), torch.ones(3).double())
    z = torch.randn(5, 3, 4).double()
    assert (small(z)[0] - z).abs().max() < 1e-3


def test_every_step_can_be_inverted():
    # along w the map is t -> t + w'v tanh(t + b), which rises everywhere
    s = step(scale=5.0)
    line = torch.linspace(-8, 8, 400, dtype=torch.float64).view(-1, 1, 1) * s.w / s.w.norm(dim=-1, keepdim=True)
    moved = (s(line)[0] * s.w).sum(-1)
    assert (moved.diff(dim=0) > 0).all()


def test_near_fold_volume_is_finite():
    w = torch.tensor([[10.0, 0.0]])
    folds = PlanarStep(w, -w, torch.zeros(1))  # w'u = -100: 1 + w'v is below the spacing of numbers at one
    assert folds(torch.zeros(1, 2))[1].isfinite().all()


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(PlanarFlowPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), 4), SHAPE, 3, False)


def test_no_step_is_refused():
    with pytest.raises(ValueError, match="num_steps = 0"):
        PlanarFlowPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), 0)
