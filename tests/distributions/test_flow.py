import torch
from torch import nn

from dgm_run.distributions.autoregressive_step import AutoregressiveStep
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.flow import Flow, Inverse, freeze_network
from dgm_run.networks.made import MADE
from dgm_run.posteriors.linear_iaf import TriangularStep
from tests.support.contracts import check_density_integrates_to_one, check_sampler_follows_density, check_step


def flow():
    torch.manual_seed(0)
    base = DiagonalGaussian(torch.randn(3, 2).double(), 0.3 * torch.randn(3, 2).double())
    matrices = [torch.eye(2).double() + torch.randn(3, 2, 2).double().tril(-1) for _ in range(2)]
    network = MADE(2, [6], 2, 0).double()
    steps = [
        TriangularStep(matrices[0]),
        AutoregressiveStep(network, None, is_gated=True),
        Inverse(TriangularStep(matrices[1])),
    ]
    return Flow(base, steps)


@torch.no_grad()
def test_samples_follow_the_density():
    check_density_integrates_to_one(flow(), half_width=24.0, num_points=960)
    one = flow().map(lambda parameter: parameter[:1])
    single = Flow(DiagonalGaussian(one.base.loc[0], one.base.log_var[0]), [s.map(lambda p: p[0]) for s in one.steps])
    check_sampler_follows_density(single)


def test_sample_density_matches_log_prob():
    q = flow()
    z, log_q = q.rsample_and_log_prob((4,))
    torch.testing.assert_close(q.log_prob(z), log_q)


def test_an_inverted_step_is_a_step():
    torch.manual_seed(0)
    matrix = torch.eye(3).double() + torch.randn(2, 3, 3).double().tril(-1)
    check_step(Inverse(TriangularStep(matrix)), 2, 3, invertible=True, volume=True)
    step = Inverse(TriangularStep(matrix.requires_grad_()))
    assert not step.detach()(torch.randn(2, 3).double())[0].requires_grad


def test_frozen_network_has_no_gradient():
    network, x = nn.Linear(3, 2), torch.randn(4, 3, requires_grad=True)
    torch.testing.assert_close(freeze_network(network)(x), network(x))
    assert torch.autograd.grad(freeze_network(network)(x).sum(), x)[0].abs().sum() > 0
    assert not freeze_network(network)(x.detach()).requires_grad
