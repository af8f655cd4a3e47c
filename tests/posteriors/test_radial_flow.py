import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.radial_flow import RadialFlowPosterior, RadialStep
from tests.support.contracts import check_flow_posterior, check_step

SHAPE = (1, 2, 2)


def test_a_step_returns_its_log_determinant():
    torch.manual_seed(0)
    a, b = torch.tensor([[-1.0, 0.5, 2.0], [3.0, -4.0, 0.0]]).double()  # shrinking, growing
    check_step(RadialStep(torch.randn(3, 4).double(), a, b), 3, 4, invertible=False)


def test_points_keep_order_on_rays():
    c = torch.tensor([[1.0, -1.0]]).double()
    for b in (-6.0, 6.0):
        step = RadialStep(c, torch.tensor([0.3]).double(), torch.tensor([b]).double())
        ray = c + torch.linspace(0.01, 9, 300).double().unsqueeze(-1) * torch.tensor([0.6, 0.8]).double()
        away = step(ray.unsqueeze(1))[0].squeeze(1) - c
        torch.testing.assert_close(away[:, 0] / away[:, 1], torch.full((300,), 0.75).double())
        assert (away.norm(dim=-1).diff() > 0).all()


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(RadialFlowPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), 4), SHAPE, 3, False)
