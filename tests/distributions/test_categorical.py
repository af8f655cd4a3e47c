import pytest
import torch

from dgm_run.distributions.categorical import Categorical
from tests.support.contracts import check_broadcasts, check_masses_sum_to_one, check_sampler_follows_masses

LEVELS = [0, 0.5, 1]

torch.manual_seed(1)
LOGITS = 1.5 * torch.randn(4, 3, 2, 1, dtype=torch.float64)  # four densities of 2 x 1 pixels with three levels


def make(logits):
    return Categorical(logits, event_dims=2)


def oracle(logits):
    """Builds torch's categorical distribution over level indices; the levels are its last axis."""
    return torch.distributions.Independent(torch.distributions.Categorical(logits=logits.movedim(-3, -1)), 2)


def test_masses_sum_to_one():
    check_masses_sum_to_one(make(LOGITS), LEVELS)


def test_samples_follow_the_masses():
    check_sampler_follows_masses(make(LOGITS[0]), LEVELS)


def test_samples_keep_the_batch_apart():
    check_broadcasts(make(LOGITS))


def test_value_and_gradient_match_torch():
    logits = LOGITS.clone().requires_grad_()
    level = torch.randint(3, (4, 2, 1))
    value, expected = make(logits).log_prob(level / 2), oracle(logits).log_prob(level)
    torch.testing.assert_close(value, expected)
    weight = torch.arange(4)
    torch.testing.assert_close(*[torch.autograd.grad((weight * v).sum(), logits) for v in (value, expected)])


def test_examples_broadcast_with_logits():
    logits = torch.randn(5, 4, 3, 2, 1, dtype=torch.float64)
    level = torch.randint(3, (4, 2, 1))
    torch.testing.assert_close(make(logits).log_prob(level / 2), oracle(logits).log_prob(level.expand(5, 4, 2, 1)))


def test_the_mean_is_the_expected_intensity():
    probabilities = torch.softmax(LOGITS, 1)
    torch.testing.assert_close(make(LOGITS).mean, 0.5 * probabilities[:, 1] + probabilities[:, 2])


@pytest.mark.parametrize("rounding", [-1e-6, 0, 1e-6])
def test_grey_levels_survive_float32(rounding):
    level = torch.arange(256)
    logits = torch.randn(256, 256, 1)
    value = Categorical(logits, 1).log_prob((level / 255 + rounding).unsqueeze(-1))
    torch.testing.assert_close(value, logits.squeeze(-1).log_softmax(-1)[level, level])


def test_samples_are_valid_intensities():
    p = Categorical(torch.randn(256, 10), 1)
    x = p.sample((100,))
    assert x.min() >= 0
    assert x.max() <= 1
    torch.testing.assert_close(x * 255, (x * 255).round(), rtol=0, atol=1e-4)
    assert p.log_prob(x).isfinite().all()
