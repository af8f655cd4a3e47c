import math

import pytest
import torch
from contracts import check_density_integrates_to_one, check_every_parameter_gets_a_gradient, check_likelihood

from dgm_run.likelihoods.gaussian import GaussianLikelihood

MODES = ["no", "shared", "element", "predicted"]
each_mode = pytest.mark.parametrize("learn_scale", MODES)


def make(learn_scale, scale=0.5, min_scale=0.01, shape=(1, 2), squash=False):
    return GaussianLikelihood(shape, scale, learn_scale, min_scale, squash)


@each_mode
def test_shapes_and_gradients_are_those_of_a_likelihood(learn_scale):
    check_likelihood(make(learn_scale), levels=None)


@each_mode
def test_the_density_integrates_to_one(learn_scale):
    torch.manual_seed(0)
    likelihood = make(learn_scale).double()
    check_density_integrates_to_one(likelihood(0.5 * torch.randn(3, likelihood.num_params, 1, 2, dtype=torch.float64)))


@pytest.mark.parametrize(
    ("learn_scale", "parameters", "num_params"),
    [("no", {}, 1), ("shared", {"log_scale": ()}, 1), ("element", {"log_scale": (1, 2)}, 1), ("predicted", {}, 2)],
)
def test_each_mode_has_its_own_parameters(learn_scale, parameters, num_params):
    likelihood = make(learn_scale)
    assert {name: tuple(p.shape) for name, p in likelihood.named_parameters()} == parameters
    assert likelihood.num_params == num_params
    assert "log_scale" in likelihood.state_dict()


@each_mode
def test_the_scale_starts_where_it_is_told(learn_scale):
    likelihood = make(learn_scale, scale=0.3)
    p = likelihood(torch.zeros(4, likelihood.num_params, 1, 2))
    torch.testing.assert_close(p.stddev, torch.full((4, 1, 2), 0.3))


@pytest.mark.parametrize("learn_scale", ["shared", "element"])
def test_a_learned_scale_gets_a_gradient(learn_scale):
    likelihood = make(learn_scale)
    check_every_parameter_gets_a_gradient(likelihood, likelihood(torch.randn(4, 1, 1, 2)).log_prob(torch.randn(1, 2)))


def test_a_predicted_scale_multiplies_what_lies_above_the_floor():
    mean, log_scale = torch.randn(2, 4, 1, 2)
    p = make("predicted")(torch.stack([mean, log_scale], 1))
    x = torch.randn(1, 2)
    expected = torch.distributions.Normal(mean, 0.01 + (0.5 - 0.01) * log_scale.exp()).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(p.log_prob(x), expected)


def test_a_predicted_scale_does_not_fall_below_its_floor():
    p = make("predicted", min_scale=0.1)(torch.tensor([0.0, -50.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 2))
    torch.testing.assert_close(p.stddev, torch.full((1, 1, 2), 0.1))


@pytest.mark.parametrize("learn_scale", ["shared", "element"])
def test_a_learned_scale_does_not_fall_below_its_floor(learn_scale):
    likelihood = make(learn_scale, min_scale=0.1)
    torch.nn.init.constant_(likelihood.log_scale, -50.0)
    torch.testing.assert_close(likelihood(torch.zeros(1, 1, 1, 2)).stddev, torch.full((1, 1, 2), 0.1))


def test_a_floor_of_zero_is_none():
    likelihood = make("shared", min_scale=0.0)
    torch.nn.init.constant_(likelihood.log_scale, -20.0)
    assert likelihood(torch.zeros(1, 1, 1, 2)).stddev.max().item() == pytest.approx(math.exp(-20))


@pytest.mark.parametrize(
    ("scale", "min_scale"), [(0.0, 0.0), (-1.0, 0.0), (0.1, 0.1), (0.05, 0.1), (1.0, -0.1), (math.nan, 0.0)]
)
def test_a_scale_that_is_not_above_its_floor_is_refused(scale, min_scale):
    with pytest.raises(ValueError, match=rf"^scale = {scale} must lie above min_scale = {min_scale} >= 0$"):
        make("shared", scale, min_scale)


def test_only_continuous_data_are_taken():
    assert GaussianLikelihood.takes == ("continuous",)


def test_squashed_means_are_intensities():
    params = 5 * torch.randn(4, 1, 1, 2)
    torch.testing.assert_close(make("no", squash=True)(params).mean, torch.sigmoid(params.squeeze(1)))
