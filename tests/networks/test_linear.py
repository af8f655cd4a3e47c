import torch

from dgm_run.networks.linear import linear


def test_the_layer_maps_the_last_dimension():
    layer, x = linear(3, 5), torch.randn(2, 4, 3)
    torch.testing.assert_close(layer(x), (x.reshape(8, 3) @ layer.weight.T).reshape(2, 4, 5) + layer.bias)
    assert layer(x).shape == (2, 4, 5)


def test_initial_variance_is_two_over_n():
    torch.manual_seed(0)
    layer = linear(50, 400)
    n = layer.weight.numel()
    assert abs(layer.weight.mean()) < 5 * (2 / 50 / n) ** 0.5
    assert abs(layer.weight.var() / (2 / 50) - 1) < 5 * (2 / n) ** 0.5
    assert abs(layer.weight.pow(4).mean() / (2 / 50) ** 2 - 3) < 5 * (96 / n) ** 0.5  # a Gaussian's kurtosis
    assert not layer.bias.any()
