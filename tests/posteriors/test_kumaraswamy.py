import pytest
import torch
import torch.nn.functional as F

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.kumaraswamy import KumaraswamyPosterior
from tests.support.contracts import check_posterior

SHAPE = (1, 2, 2)


def test_each_example_has_a_density():
    check_posterior(KumaraswamyPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, 0.1), SHAPE, latent_dim=3)


def test_shapes_are_linear_with_floor():
    posterior, x = KumaraswamyPosterior(MLPEncoder((4,), [], "gated"), 2, 0.1), torch.rand(5, 4)
    output = x @ posterior.head.weight.T + posterior.head.bias
    torch.testing.assert_close(posterior(x).a, F.softplus(output[:, :2]) + 0.1)
    torch.testing.assert_close(posterior(x).b, F.softplus(output[:, 2:]) + 0.1)


def test_a_floor_at_zero_is_refused():
    with pytest.raises(ValueError, match="min_shape = 0"):
        KumaraswamyPosterior(MLPEncoder((4,), [], "gated"), 2, 0.0)
