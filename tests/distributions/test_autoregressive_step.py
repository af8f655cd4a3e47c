import torch
from contracts import check_step

from dgm_run.distributions.autoregressive_step import AutoregressiveStep
from dgm_run.networks.made import MADE


def test_a_step_tells_its_volume_and_finds_its_way_back():
    torch.manual_seed(0)
    step = AutoregressiveStep(MADE(4, [9, 8], 2, 3).double(), torch.randn(3, 3).double())
    with torch.no_grad():
        check_step(step, 3, 4, invertible=True)


def test_detached_neither_network_nor_context_learn():
    torch.manual_seed(0)
    step = AutoregressiveStep(MADE(3, [7], 2, 3), torch.randn(2, 3, requires_grad=True))
    z = torch.randn(2, 3, requires_grad=True)
    torch.testing.assert_close(step.detach()(z)[0], step(z)[0])
    assert not step.detach()(z.detach())[0].requires_grad
