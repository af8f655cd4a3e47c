import pytest
import torch

from dgm_run.distributions.autoregressive_step import AutoregressiveStep
from dgm_run.networks.made import MADE
from tests.support.contracts import check_step


@pytest.mark.parametrize("gated", [True, False])
def test_step_volume_and_inverse(gated):
    torch.manual_seed(0)
    step = AutoregressiveStep(MADE(4, [9, 8], 2, 3).double(), torch.randn(3, 3).double(), gated)
    with torch.no_grad():
        check_step(step, 3, 4, invertible=True)


@pytest.mark.parametrize("gated", [True, False])
def test_a_step_is_its_formula(gated):
    m, s = torch.randn(4), torch.tensor([0.3, -1.2, 2.0, 50.0])
    z = torch.randn(5, 4)
    there, _ = AutoregressiveStep(lambda z, context: torch.stack([m, s]).expand(5, 2, 4), None, gated)(z)
    scale, shift = (1 / (1 + torch.exp(-s)), m / (1 + torch.exp(s))) if gated else (torch.exp(4 * torch.tanh(s / 4)), m)
    torch.testing.assert_close(there.flip(-1), scale * z + shift)


def test_detach_stops_network_and_context():
    torch.manual_seed(0)
    step = AutoregressiveStep(MADE(3, [7], 2, 3), torch.randn(2, 3, requires_grad=True), is_gated=True)
    z = torch.randn(2, 3, requires_grad=True)
    torch.testing.assert_close(step.detach()(z)[0], step(z)[0])
    assert not step.detach()(z.detach())[0].requires_grad
