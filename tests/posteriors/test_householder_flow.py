import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.householder_flow import HouseholderFlowPosterior, HouseholderStep
from tests.support.contracts import check_flow_posterior, check_moments, check_step

SHAPE = (1, 2, 2)


def make(num_steps=3):
    return HouseholderFlowPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), num_steps)


def test_a_step_is_a_reflection():
    torch.manual_seed(0)
    step = HouseholderStep(torch.randn(3, 4).double())
    check_step(step, 3, 4, invertible=True, volume=True)
    z = torch.randn(3, 4).double()
    torch.testing.assert_close(step(z)[0].norm(dim=-1), z.norm(dim=-1))
    torch.testing.assert_close(step(step.v)[0], -step.v)


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(make(), SHAPE, 3, invertible=True)


def test_it_is_the_gaussian_with_turned_axes():
    torch.manual_seed(0)
    posterior = make().double()
    posterior.head.weight.data.normal_()
    with torch.no_grad():
        q = posterior(torch.rand(2, *SHAPE).double())
        turn = torch.eye(3).double().expand(2, 3, 3)
        for step in q.steps:
            v = step.v / step.v.norm(dim=-1, keepdim=True)
            turn = (torch.eye(3).double() - 2 * v.unsqueeze(-1) * v.unsqueeze(-2)) @ turn
        mean = (turn @ q.base.mean.unsqueeze(-1)).squeeze(-1)
        covariance = turn @ torch.diag_embed(q.base.variance) @ turn.mT
        expected = torch.distributions.MultivariateNormal(mean, covariance)
        z = torch.randn(5, 2, 3).double()
        torch.testing.assert_close(q.log_prob(z), expected.log_prob(z))
        check_moments(q, mean, covariance)
