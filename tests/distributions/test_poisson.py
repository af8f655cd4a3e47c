import scipy.stats
import torch

from dgm_run.distributions.poisson import Poisson
from tests.support.contracts import check_broadcasts, check_frequencies

LOG_RATE = torch.tensor([[0.3, -1.0], [2.0, 0.0]], dtype=torch.float64)


def test_probabilities_are_those_of_scipy():
    x = torch.tensor([[0.0, 3.0], [20.0, 1.0]], dtype=torch.float64)
    expected = torch.from_numpy(scipy.stats.poisson(LOG_RATE.exp().numpy()).logpmf(x.numpy()))
    torch.testing.assert_close(Poisson(LOG_RATE).elementwise_log_prob(x), expected)
    torch.testing.assert_close(Poisson(LOG_RATE).log_prob(x), expected.sum(1))


def test_probabilities_sum_to_one():
    x = torch.arange(100.0, dtype=torch.float64).view(-1, 1, 1).expand(-1, 2, 2)
    total = Poisson(LOG_RATE).elementwise_log_prob(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(2, 2, dtype=torch.float64))


def test_samples_follow_the_probabilities():
    torch.manual_seed(0)
    p = Poisson(LOG_RATE[1:, :1])
    counts = torch.bincount(p.sample((20_000,)).flatten().long(), minlength=50)[:50]
    check_frequencies(counts.double(), torch.from_numpy(scipy.stats.poisson(LOG_RATE[1, 0].exp()).pmf(range(50))))


def test_mean_is_the_rate():
    torch.testing.assert_close(Poisson(LOG_RATE).mean, LOG_RATE.exp())


def test_values_broadcast():
    check_broadcasts(Poisson(LOG_RATE))
