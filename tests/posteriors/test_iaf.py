import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.iaf import IAFPosterior
from tests.support.contracts import check_flow_posterior

SHAPE = (1, 2, 2)


def make():
    torch.manual_seed(0)
    return IAFPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), 2, [7], 4)


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(make(), SHAPE, 3, invertible=True)


def test_steps_alternate_direction():
    q = make().double()(torch.rand(1, *SHAPE).double())
    z = torch.randn(1, 3).double()
    for step in q.steps:  # each turns the order, so before the turn its Jacobian is lower triangular
        jacobian = torch.autograd.functional.jacobian(lambda z, step=step: step(z)[0].flip(-1), z)[0, :, 0]
        assert not jacobian.triu(1).any()
        assert jacobian[*torch.tril_indices(3, 3, -1)].abs().min() > 0
