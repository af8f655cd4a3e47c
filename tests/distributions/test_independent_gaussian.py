import pytest
import torch

from dgm_run.distributions.independent_gaussian import IndependentGaussian
from tests.support.contracts import (
    check_broadcasts,
    check_density_integrates_to_one,
    check_log_prob_gradient,
    check_reparameterised,
    check_sampler_follows_density,
)

torch.manual_seed(1)
MEAN = torch.randn(3, 1, 2, dtype=torch.float64)  # three densities of 1 x 2 pixels
SCALES = {
    "shared": torch.tensor(-0.3, dtype=torch.float64),
    "element": torch.randn(1, 2, dtype=torch.float64),
    "predicted": torch.randn(3, 1, 2, dtype=torch.float64),
}
each_scale = pytest.mark.parametrize("log_scale", SCALES.values(), ids=SCALES.keys())


def make(mean, log_scale):
    return IndependentGaussian(mean, log_scale, event_dims=2)


def oracle(mean, log_scale):
    return torch.distributions.Independent(torch.distributions.Normal(mean, log_scale.exp()), 2)


@each_scale
def test_density_integrates_to_one(log_scale):
    check_density_integrates_to_one(make(MEAN, log_scale))


@each_scale
def test_value_and_gradient_match_torch(log_scale):
    check_log_prob_gradient(make, oracle, torch.randn(5, 3, 1, 2, dtype=torch.float64), MEAN, log_scale)


@each_scale
def test_sample_density_has_gradient(log_scale):
    check_reparameterised(make, oracle, MEAN, log_scale)


@each_scale
def test_samples_keep_the_batch_apart(log_scale):
    check_broadcasts(make(MEAN, log_scale))


def test_samples_follow_the_density():
    check_sampler_follows_density(make(MEAN[0], SCALES["predicted"][0]))


@each_scale
def test_moments_have_batch_shape(log_scale):
    torch.testing.assert_close(make(MEAN, log_scale).variance, oracle(MEAN, log_scale).variance)
    assert make(MEAN, log_scale).mean is MEAN


def test_examples_broadcast_with_means():
    mean, x = torch.randn(5, 3, 1, 2, dtype=torch.float64), torch.randn(3, 1, 2, dtype=torch.float64)
    log_scale = SCALES["element"]
    torch.testing.assert_close(make(mean, log_scale).log_prob(x), oracle(mean, log_scale).log_prob(x))
