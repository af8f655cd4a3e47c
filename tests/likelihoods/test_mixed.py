import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from dgm_run.likelihoods.mixed import MixedLikelihood
from tests.support.contracts import check_every_parameter_gets_a_gradient
from tests.support.tables import COLUMNS

X = torch.tensor([1.0, 0.3, 2.0, 5.0, -1.2, 3.0, 0.0], dtype=torch.float64)  # a row of COLUMNS
each_family = pytest.mark.parametrize(
    ("real", "count"), [("gaussian", "poisson"), ("student_t", "negative_binomial")]
)  # fmt: skip


def make(real="gaussian", count="negative_binomial", columns=COLUMNS, min_scale=0.0):
    return MixedLikelihood(columns, real, count, min_scale, 0.001).double()


def draw_params(likelihood):
    torch.manual_seed(0)
    return torch.randn(4, *likelihood.params_shape, dtype=torch.float64)


def test_each_column_has_its_outputs():
    assert make().params_shape == (2 + 1 + 1 + 3 + 4 + 3,)
    assert make().shape == (7,)


@each_family
def test_density_is_the_product_by_scipy(real, count):
    likelihood = make(real, count)
    params = draw_params(likelihood)
    p = params.numpy()
    logs = scipy.stats.norm(p[:, :2], 0.5).logpdf(X[[1, 4]].numpy())
    if real == "student_t":
        logs = scipy.stats.t(10, p[:, :2], 0.5).logpdf(X[[1, 4]].numpy())
    mean = np.exp(p[:, 2])
    counts = scipy.stats.poisson(mean) if count == "poisson" else scipy.stats.nbinom(1, 1 / (1 + mean))
    town, area = scipy.special.log_softmax(p[:, 4:10].reshape(4, 3, 2), 1).transpose(2, 0, 1)
    grade = scipy.special.log_softmax(p[:, 10:], 1)
    expected = logs.sum(1) + counts.logpmf(5) + scipy.stats.bernoulli(scipy.special.expit(p[:, 3])).logpmf(1)
    expected += town[:, 2] + area[:, 0] + grade[:, 3]
    torch.testing.assert_close(likelihood(params).log_prob(X), torch.from_numpy(expected))


@each_family
def test_every_parameter_gets_a_gradient(real, count):
    likelihood = make(real, count)
    params = draw_params(likelihood).requires_grad_()
    log_p = likelihood(params).log_prob(X)
    (gradient,) = torch.autograd.grad(log_p.sum(), params, retain_graph=True)
    check_every_parameter_gets_a_gradient(likelihood, log_p)
    assert gradient.isfinite().all()
    assert gradient.any(0).all()


def test_batches_may_have_leading_axes():
    likelihood = make()
    params = draw_params(likelihood)
    p = likelihood(params.unflatten(0, (2, 2)))
    assert (p.batch_shape, p.event_shape) == ((2, 2), (7,))
    torch.testing.assert_close(p.log_prob(X).flatten(), likelihood(params).log_prob(X))


def test_counts_start_at_their_moments():
    torch.manual_seed(0)
    x = X.repeat(4000, 1) + 0.1 * torch.randn(4000, 7, dtype=torch.float64)
    x[:, 3] = torch.from_numpy(scipy.stats.nbinom(2, 2 / (2 + 7)).rvs(4000, random_state=0)).double()
    likelihood = make()
    likelihood.initialize(x)
    p = likelihood(torch.zeros(1, *likelihood.params_shape, dtype=torch.float64))
    assert p.mean[0, 3].item() == pytest.approx(7, rel=0.1)
    assert likelihood.log_size.exp().item() == pytest.approx(2, rel=0.2)


def test_floor_follows_the_columns():
    likelihood = make(min_scale=0.01)
    x = X.repeat(2, 1)
    x[1, 1] += 2.0
    x[1, 4] += 4.0
    likelihood.initialize(x)
    torch.testing.assert_close(likelihood.log_floor.exp(), torch.tensor([0.011, 0.012], dtype=torch.float64))
    with torch.no_grad():
        likelihood.log_scale.fill_(-30.0)
    scale = likelihood(torch.zeros(1, *likelihood.params_shape, dtype=torch.float64)).groups[0].log_scale.exp()
    torch.testing.assert_close(scale, likelihood.log_floor.exp())
    assert likelihood.likelihood_warning.startswith("the noise of 2 of 2 columns is at its floor")


def test_columns_of_one_kind_suffice():
    for i in (0, 1, 3, 5):
        likelihood = make(columns=COLUMNS[i : i + 1])
        params = draw_params(likelihood)
        assert likelihood(params).log_prob(X[i : i + 1]).isfinite().all()


def test_a_floor_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"^min_scale \+ relative_min_scale must lie between 0 and 0.5$"):
        MixedLikelihood(COLUMNS, "gaussian", "poisson", 0, 0)
