import pytest
import torch

from dgm_run.decoders.mlp import MLPDecoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.categorical import CategoricalLikelihood
from dgm_run.likelihoods.discretized_logistic import DiscretizedLogisticLikelihood
from dgm_run.likelihoods.gaussian import GaussianLikelihood
from tests.support.contracts import check_every_parameter_gets_a_gradient, check_masses_sum_to_one

SHAPE = (1, 2, 2)
LIKELIHOODS = {
    "bernoulli": lambda: BernoulliLikelihood(SHAPE),
    "categorical": lambda: CategoricalLikelihood(SHAPE, num_levels=2),
    "discretized_logistic": lambda: DiscretizedLogisticLikelihood(SHAPE, num_levels=2, log_scale=-1.0),
    "gaussian": lambda: GaussianLikelihood(
        SHAPE,
        scale=0.5,
        learn_scale="element",
        min_scale=0.01,
        relative_min_scale=0.0,
        squash=False,
    ),
    "gaussian_predicted": lambda: GaussianLikelihood(
        SHAPE,
        scale=0.5,
        learn_scale="predicted",
        min_scale=0.01,
        relative_min_scale=0.0,
        squash=False,
    ),
}


@pytest.mark.parametrize("hidden_dims", [[], [7, 5]], ids=str)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_batch_shape_follows_z(name, hidden_dims):
    torch.manual_seed(0)
    decoder = MLPDecoder(3, hidden_dims, "gated", LIKELIHOODS[name]())
    z = torch.randn(4, 5, 3)
    p = decoder(z)
    assert p.batch_shape == (4, 5)
    assert p.event_shape == SHAPE
    x = p.sample()[0]  # one batch for all samples of z
    log_p = p.log_prob(x)
    torch.testing.assert_close(log_p, torch.stack([decoder(row).log_prob(x) for row in z]))
    check_every_parameter_gets_a_gradient(decoder, log_p)


@pytest.mark.parametrize("name", ["bernoulli", "categorical", "discretized_logistic"])
def test_masses_sum_to_one(name):
    torch.manual_seed(0)
    decoder = MLPDecoder(3, [5], "tanh", LIKELIHOODS[name]()).double()
    check_masses_sum_to_one(decoder(3 * torch.randn(6, 3, dtype=torch.float64)), levels=[0, 1])


def test_no_hidden_layer_is_linear_in_z():
    decoder = MLPDecoder(3, [], "gated", LIKELIHOODS["gaussian"]())
    torch.nn.init.normal_(decoder.output.bias)
    z = torch.randn(5, 3)
    expected = z @ decoder.output.weight.T + decoder.output.bias
    torch.testing.assert_close(decoder(z).mean, expected.reshape(5, *SHAPE))


def test_parameter_axis_precedes_pixels():
    decoder = MLPDecoder(3, [], "gated", LIKELIHOODS["gaussian_predicted"]())
    z = torch.randn(5, 3)
    mean, log_scale = (z @ decoder.output.weight.T).chunk(2, -1)
    p = decoder(z)
    torch.testing.assert_close(p.mean, mean.reshape(5, *SHAPE))
    torch.testing.assert_close(p.stddev, (0.01 + (0.5 - 0.01) * log_scale.exp()).reshape(5, *SHAPE))


def test_density_has_full_precision():
    decoder = MLPDecoder(3, [5], "gated", LIKELIHOODS["gaussian_predicted"]())
    with torch.autocast("cpu", torch.bfloat16):
        p = decoder(torch.randn(5, 3))
        assert p.mean.dtype == p.log_prob(torch.rand(SHAPE)).dtype == torch.float32
