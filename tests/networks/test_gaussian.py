import torch

from dgm_run.networks.gaussian import GaussianLayer
from tests.support.contracts import check_every_parameter_gets_a_gradient


def test_outputs_are_linear_and_clamped():
    torch.manual_seed(0)
    layer, h = GaussianLayer(4, 3, (-1.0, 1.0)), 30 * torch.randn(5, 4)
    mean, log_var = (h @ layer.linear.weight.T + layer.linear.bias).split(3, -1)
    p = layer(h, like=h)
    torch.testing.assert_close(p.mean, mean)
    torch.testing.assert_close(p.variance, torch.clamp(log_var, -1, 1).exp())
    assert log_var.abs().max() > 1
    check_every_parameter_gets_a_gradient(layer, p.log_prob(torch.randn(5, 3)))


def test_it_is_as_precise_as_what_it_is_like():
    layer = GaussianLayer(4, 3, (-1.0, 1.0)).to(torch.bfloat16)
    p = layer(torch.randn(5, 4).to(torch.bfloat16), like=torch.zeros(1))
    assert p.mean.dtype == p.variance.dtype == torch.float32
