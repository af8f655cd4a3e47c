import itertools

import numpy as np
import scipy.special
import scipy.stats
import torch

from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.mixed import Codes, Mixed
from dgm_run.distributions.negative_binomial import NegativeBinomial
from dgm_run.distributions.observed_marginal import ConditionalCompletion, ObservedMarginal
from dgm_run.distributions.poisson import Poisson
from dgm_run.distributions.student_t import StudentT
from tests.support.contracts import check_broadcasts, check_frequencies

ORDER = [3, 0, 4, 1, 2]  # real, count, binary, two categories
BATCH = 3


def params():
    torch.manual_seed(0)
    return [torch.randn(BATCH, *shape, dtype=torch.float64) for shape in ((1,), (1,), (1,), (3, 2))]


def make(location, log_mean, logit, logits):
    scale = torch.tensor([-0.7], dtype=torch.float64)
    groups = [IndependentGaussian(location, scale, 1), Poisson(log_mean), Bernoulli(logit, 1), Codes(logits)]
    return Mixed(groups, torch.tensor(ORDER))


def oracle(x, location, log_mean, logit, logits):
    """Log-probability of each column, (B, 5), by SciPy."""
    location, log_mean, logit, logits = (each.numpy() for each in (location, log_mean, logit, logits))
    log_p = scipy.special.log_softmax(logits, 1)
    found = np.empty((BATCH, 5))
    for b in range(BATCH):
        found[b, 3] = scipy.stats.norm(location[b, 0], np.exp(-0.7)).logpdf(x[3])
        found[b, 0] = scipy.stats.poisson(np.exp(log_mean[b, 0])).logpmf(x[0])
        found[b, 4] = scipy.stats.bernoulli(scipy.special.expit(logit[b, 0])).logpmf(x[4])
        found[b, 1], found[b, 2] = log_p[b, int(x[1]), 0], log_p[b, int(x[2]), 1]
    return torch.from_numpy(found)


def test_each_column_has_its_own_distribution():
    x = torch.tensor([4.0, 2.0, 0.0, -0.3, 1.0], dtype=torch.float64)
    expected = oracle(x.numpy(), *params())
    torch.testing.assert_close(make(*params()).elementwise_log_prob(x), expected)
    torch.testing.assert_close(make(*params()).log_prob(x), expected.sum(1))


def test_total_mass_is_one():
    grid = torch.linspace(-8, 8, 801, dtype=torch.float64)
    total = torch.zeros(BATCH, dtype=torch.float64)
    for count, first, second, one in itertools.product(range(40), range(3), range(3), range(2)):
        rest = torch.tensor([count, first, second, 0, one], dtype=torch.float64).repeat(len(grid), 1)
        rest[:, 3] = grid
        total += make(*params()).log_prob(rest.unsqueeze(1)).exp().sum(0) * (grid[1] - grid[0])
    torch.testing.assert_close(total, torch.ones(BATCH, dtype=torch.float64), rtol=0, atol=1e-8)


def test_missing_columns_are_summed_out():
    x = torch.tensor([4.0, torch.nan, 2.0, -0.3, torch.nan], dtype=torch.float64)
    total = torch.zeros(BATCH, dtype=torch.float64)
    for code, one in itertools.product(range(3), range(2)):
        whole = x.clone()
        whole[1], whole[4] = code, one
        total += oracle(whole.numpy(), *params()).sum(1).exp()
    torch.testing.assert_close(ObservedMarginal(make(*params())).log_prob(x), total.log())


def test_completions_keep_observed_columns():
    x = torch.tensor([4.0, torch.nan, 2.0, -0.3, torch.nan], dtype=torch.float64).repeat(BATCH, 1)
    torch.manual_seed(0)
    drawn = ConditionalCompletion(make(*params()), x).sample((500,))
    assert (drawn[..., [0, 2, 3]] == x[:, [0, 2, 3]]).all()
    frequencies = [torch.bincount(drawn[:, 1, 1].long(), minlength=3).double()]
    check_frequencies(frequencies[0], params()[3][1, :, 0].softmax(0))


def test_samples_follow_each_column():
    torch.manual_seed(0)
    x = make(*params()).sample((20_000,))[:, 0]
    location, log_mean, logit, logits = (each[0].numpy() for each in params())
    assert scipy.stats.kstest(x[:, 3].numpy(), scipy.stats.norm(location[0], np.exp(-0.7)).cdf).pvalue > 1e-4
    for column, p in [
        (0, scipy.stats.poisson(np.exp(log_mean[0])).pmf(np.arange(60))),
        (4, scipy.stats.bernoulli(scipy.special.expit(logit[0])).pmf(np.arange(2))),
        (1, scipy.special.softmax(logits[:, 0])),
        (2, scipy.special.softmax(logits[:, 1])),
    ]:
        counts = torch.bincount(x[:, column].long(), minlength=len(p))
        check_frequencies(counts.double(), torch.from_numpy(p))


def test_means_and_likeliest_codes():
    location, log_mean, logit, logits = params()
    mean = make(location, log_mean, logit, logits).mean
    torch.testing.assert_close(mean[:, 3:4], location)
    torch.testing.assert_close(mean[:, :1], log_mean.exp())
    torch.testing.assert_close(mean[:, 4:], logit.sigmoid())
    torch.testing.assert_close(mean[:, 1:3], logits.argmax(1).double())


def test_values_broadcast():
    check_broadcasts(make(*params()))


def test_other_families_are_columns_too():
    location, log_mean, _, _ = params()
    zero = torch.zeros(1, dtype=torch.float64)
    groups = [NegativeBinomial(log_mean, zero), StudentT(location, zero, zero + 4)]
    x = torch.tensor([0.7, 2.0], dtype=torch.float64)
    mean = np.exp(log_mean.numpy())
    expected = scipy.stats.nbinom(1, 1 / (1 + mean)).logpmf(2) + scipy.stats.t(4, location.numpy()).logpdf(0.7)
    torch.testing.assert_close(Mixed(groups, torch.tensor([1, 0])).log_prob(x), torch.from_numpy(expected[:, 0]))
