import numpy as np
import scipy.stats
import torch

from dgm_run.distributions.negative_binomial import NegativeBinomial
from tests.support.contracts import check_broadcasts, check_frequencies

LOG_MEAN = torch.tensor([[0.3, -1.0], [2.0, 0.0]], dtype=torch.float64)
LOG_SIZE = torch.tensor([-0.5, 1.5], dtype=torch.float64)


def make():
    return NegativeBinomial(LOG_MEAN, LOG_SIZE)


def oracle():
    mean, size = np.exp(LOG_MEAN.numpy()), np.exp(LOG_SIZE.numpy())
    return scipy.stats.nbinom(size, size / (size + mean))


def test_probabilities_are_those_of_scipy():
    x = torch.tensor([[0.0, 3.0], [20.0, 1.0]], dtype=torch.float64)
    expected = torch.from_numpy(oracle().logpmf(x.numpy()))
    torch.testing.assert_close(make().elementwise_log_prob(x), expected)
    torch.testing.assert_close(make().log_prob(x), expected.sum(1))


def test_probabilities_sum_to_one():
    x = torch.arange(2000.0, dtype=torch.float64).view(-1, 1, 1).expand(-1, 2, 2)
    total = make().elementwise_log_prob(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, 2, dtype=torch.float64))


def test_samples_follow_the_probabilities():
    torch.manual_seed(0)
    counts = torch.bincount(make().sample((20_000,))[:, 1, 0].long(), minlength=400)[:400]
    probabilities = np.stack([oracle().pmf(k)[1, 0] for k in range(400)])
    check_frequencies(counts.double(), torch.from_numpy(probabilities))


def test_moments_are_those_of_scipy():
    mean, variance = oracle().stats("mv")
    torch.testing.assert_close(make().mean, torch.from_numpy(mean))
    expected = make().mean + make().mean.square() / LOG_SIZE.exp()
    torch.testing.assert_close(expected, torch.from_numpy(variance))


def test_a_mean_far_away_keeps_its_gradient():
    log_mean = torch.tensor([200.0], requires_grad=True)
    NegativeBinomial(log_mean, torch.zeros(1)).log_prob(torch.tensor([3.0])).backward()
    torch.testing.assert_close(log_mean.grad, torch.tensor([-1.0]))


def test_values_broadcast():
    check_broadcasts(make())
