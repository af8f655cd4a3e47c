import math

import pytest
import torch

from dgm_run.likelihoods.gaussian import GaussianLikelihood
from tests.support.contracts import (
    check_density_integrates_to_one,
    check_every_parameter_gets_a_gradient,
    check_likelihood,
)

MODES = ["no", "shared", "element", "predicted"]
each_mode = pytest.mark.parametrize("learn_scale", MODES)


def make(learn_scale, scale=0.5, min_scale=0.01, shape=(1, 2), squash=False, relative_min_scale=0.0):
    return GaussianLikelihood(shape, scale, learn_scale, min_scale, relative_min_scale, squash)


@each_mode
def test_shapes_and_gradients(learn_scale):
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


def test_predicted_scale_exceeds_floor():
    mean, log_scale = torch.randn(2, 4, 1, 2)
    p = make("predicted")(torch.stack([mean, log_scale], 1))
    x = torch.randn(1, 2)
    expected = torch.distributions.Normal(mean, 0.01 + (0.5 - 0.01) * log_scale.exp()).log_prob(x).sum((-1, -2))
    torch.testing.assert_close(p.log_prob(x), expected)


def test_predicted_scale_keeps_floor():
    p = make("predicted", min_scale=0.1)(torch.tensor([0.0, -50.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 2))
    torch.testing.assert_close(p.stddev, torch.full((1, 1, 2), 0.1))


@pytest.mark.parametrize("learn_scale", ["shared", "element"])
def test_learned_scale_keeps_floor(learn_scale):
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
def test_scale_below_floor_is_refused(scale, min_scale):
    with pytest.raises(ValueError, match=rf"^scale = {scale} must lie above min_scale = {min_scale} >= 0$"):
        make("shared", scale, min_scale)


def test_only_continuous_data_are_taken():
    assert GaussianLikelihood.takes == ("continuous",)


def test_squashed_means_are_intensities():
    params = 5 * torch.randn(4, 1, 1, 2)
    torch.testing.assert_close(make("no", squash=True)(params).mean, torch.sigmoid(params.squeeze(1)))


def relative(learn_scale, x, scale=0.5):
    """A likelihood whose floor is a hundredth of the standard deviation of the data."""
    likelihood = make(learn_scale, scale, min_scale=0.0, shape=x.shape[1:], relative_min_scale=0.01)
    likelihood.initialize(x)
    return likelihood


def lowest(likelihood):
    """Standard deviations of the noise where the learned part is next to nothing."""
    with torch.no_grad():
        likelihood.log_scale.fill_(-200.0)
    return likelihood(torch.zeros(1, likelihood.num_params, *likelihood.shape)).stddev[0]


def columns(*scales):
    """Examples, (B, 1, D), with these standard deviations; far from zero."""
    x = torch.randn(4000, 1, len(scales), dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    return (x + 100) * torch.tensor(scales, dtype=torch.float64)


@pytest.mark.parametrize("learn_scale", ["element", "predicted"])
def test_the_floor_of_an_element_is_relative(learn_scale):
    floor = lowest(relative(learn_scale, columns(1e-4, 1.0, 0.0)))
    torch.testing.assert_close(floor, torch.tensor([[1e-6, 1e-2, 1e-2 * math.sqrt((1 + 1e-8) / 2)]]))


def test_shared_floor_is_the_lowest():
    floor = lowest(relative("shared", columns(1e-4, 1.0, 0.0)))
    torch.testing.assert_close(floor, torch.full((1, 3), 1e-6))


@pytest.mark.parametrize("learn_scale", ["shared", "element", "predicted"])
@pytest.mark.parametrize("std", [1e-4, 1.0, 1e4])
def test_scale_starts_above_floor(learn_scale, std):
    likelihood = relative(learn_scale, columns(std, std))
    start = likelihood(torch.zeros(1, likelihood.num_params, 1, 2)).stddev
    torch.testing.assert_close(start, torch.full((1, 1, 2), 0.5 if std < 10 else 0.5 + 0.01 * std))


def test_a_fixed_scale_has_no_floor():
    likelihood = relative("no", columns(1e4, 1e4), scale=0.3)
    torch.testing.assert_close(likelihood(torch.zeros(1, 1, 1, 2)).stddev, torch.full((1, 1, 2), 0.3))
    assert likelihood.likelihood_warning is None


def test_the_floor_is_kept_with_the_weights():
    likelihood, other = relative("element", columns(1e-4, 1.0)), make("element", 0.5, 0.0, relative_min_scale=0.01)
    other.load_state_dict(likelihood.state_dict())
    torch.testing.assert_close(lowest(other), torch.tensor([[1e-6, 1e-2]]))


@pytest.mark.parametrize("learn_scale", ["shared", "element"])
def test_small_data_fit_names_floor(learn_scale):
    x = 1e-4 * torch.randn(500, 1, 2, dtype=torch.float64)
    likelihood = relative(learn_scale, x).double()
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        (-likelihood(torch.zeros(500, 1, 1, 2, dtype=torch.float64)).log_prob(x).mean()).backward()
        optimizer.step()
    scale = likelihood(torch.zeros(1, 1, 1, 2, dtype=torch.float64)).stddev
    expected = x.square().mean(0).sqrt() if learn_scale == "element" else x.square().mean().sqrt().expand(1, 2)
    torch.testing.assert_close(scale[0], expected, rtol=1e-3, atol=0)
    assert likelihood.likelihood_warning is None


def test_scales_at_their_floor_are_named():
    likelihood = relative("element", columns(1e-4, 1.0))
    with torch.no_grad():
        likelihood.log_scale[0, 1] = -20.0
    assert likelihood.likelihood_warning == (
        "the noise of 1 of 2 columns is at its floor, on which the likelihood depends (relative_min_scale=0.01)"
    )


def test_equal_examples_need_a_floor():
    with pytest.raises(ValueError, match="all training examples are equal"):
        relative("shared", columns(0.0, 0.0))
    make("shared", min_scale=0.1, relative_min_scale=0.0).initialize(columns(0.0, 0.0))
