import numpy as np
import scipy.stats
import torch

from dgm_run.distributions.student_t import StudentT
from tests.support.contracts import check_broadcasts, check_density_integrates_to_one

LOCATION = torch.tensor([[0.3, -1.0], [2.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
LOG_SCALE = torch.tensor([0.2, -1.5], dtype=torch.float64)
DEGREES = torch.tensor([3.0, 40.0], dtype=torch.float64)


def make():
    return StudentT(LOCATION, LOG_SCALE, DEGREES)


def oracle():
    return scipy.stats.t(DEGREES.numpy(), LOCATION.numpy(), np.exp(LOG_SCALE.numpy()))


def test_density_is_that_of_scipy():
    x = torch.tensor([[0.0, 30.0], [-7.0, 0.1], [1e4, 5.0]], dtype=torch.float64)
    torch.testing.assert_close(make().elementwise_log_prob(x), torch.from_numpy(oracle().logpdf(x.numpy())))
    torch.testing.assert_close(make().log_prob(x), torch.from_numpy(oracle().logpdf(x.numpy()).sum(1)))


def test_density_integrates_to_one():
    narrow = StudentT(LOCATION[:1], LOG_SCALE - 1, torch.tensor([30.0, 40.0], dtype=torch.float64))
    check_density_integrates_to_one(narrow, num_points=1200)


def test_samples_follow_the_density():
    torch.manual_seed(0)
    x = make().sample((4000,)).numpy()
    assert (scipy.stats.kstest(oracle().cdf(x), "uniform").pvalue > 1e-4).all()


def test_mean_is_the_location():
    assert make().mean is LOCATION


def test_values_broadcast():
    check_broadcasts(make())
