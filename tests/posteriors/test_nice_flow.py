import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.nice_flow import NICEFlowPosterior
from tests.support.contracts import check_flow_posterior, check_step

SHAPE = (1, 2, 2)


def make(latent_dim=5, num_steps=3):
    torch.manual_seed(0)
    return NICEFlowPosterior(MLPEncoder(SHAPE, [5], "gated"), latent_dim, (-6.0, 2.0), num_steps, [6], "tanh", 4)


def test_two_steps_move_every_dimension():
    with torch.no_grad():
        steps = make().double()(torch.rand(3, *SHAPE).double()).steps
    for step in steps:
        check_step(step, 3, 5, invertible=True, volume=True)
    z = torch.randn(3, 5).double()
    jacobian = torch.autograd.functional.jacobian(lambda z: steps[1](steps[0](z)[0])[0].sum(0), z)[:, 0]
    assert (jacobian.abs() > 0).sum() > 5  # not a permutation: each part has heard of the other
    assert (jacobian.abs() > 0).sum(1).min() > 1


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(make(), SHAPE, 5, invertible=True)


def test_a_single_dimension_is_refused():
    with pytest.raises(ValueError, match="latent_dim = 1"):
        make(latent_dim=1)
