import numpy as np
import pytest
import scipy.stats
import torch

from dgm_run.data.columns import read_columns
from dgm_run.data.corruptions import GaussianNoise
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.standardize import Standardization
from dgm_run.estimators.baselines.independent_columns import fit_independent_columns
from tests.support.tables import COLUMNS

BY_NAME = {column.name: column for column in read_columns(COLUMNS)}

pytestmark = pytest.mark.usefixtures("double")


def split(x, names, standardization=None):
    x = torch.as_tensor(np.asarray(x, dtype=float))
    data = DataSplit(x.reshape(len(x), -1), None, to_float, standardization=standardization)
    data.columns = tuple(BY_NAME[name] for name in names)
    return data


def fit(names, train, test, **more):
    train, test = (split(each, names, **more) for each in (train, test))
    return fit_independent_columns(LoadedDataset(None, train, train, test)).log_p.numpy()


def test_gaussian_columns_have_the_density():
    rng = np.random.default_rng(0)
    train, test = rng.uniform(-1, 1, 500), rng.normal(size=40)  # no heavy tails: the Gaussian is chosen
    expected = scipy.stats.norm(train.mean(), train.std()).logpdf(test)
    np.testing.assert_allclose(fit(["income"], train, test), expected, atol=1e-3)


def test_heavy_tails_get_students_t():
    rng = np.random.default_rng(0)
    train, test = rng.standard_t(2, 3000), rng.standard_t(2, 500)
    found = fit(["income"], train, test).mean()
    assert found == pytest.approx(scipy.stats.t(2).logpdf(test).mean(), abs=0.02)
    assert found > scipy.stats.norm(train.mean(), train.std()).logpdf(test).mean() + 0.2


def test_densities_are_in_data_units():
    rng = np.random.default_rng(0)
    units = Standardization(torch.tensor([5.0]), torch.tensor([20.0]))
    train, test = rng.uniform(-1, 1, 500), rng.normal(size=40)
    here = fit(["income"], train, test)
    np.testing.assert_allclose(fit(["income"], train, test, standardization=units), here - np.log(20))


@pytest.mark.parametrize(("name", "num_codes"), [("sex", 2), ("grade", 4)])
def test_codes_have_their_shares(name, num_codes):
    train = np.array([0, 1, 1, 0, 1, np.nan])
    test = np.arange(num_codes)
    expected = [np.log((np.sum(train == code) + 1) / (5 + num_codes)) for code in test]
    np.testing.assert_allclose(fit([name], train, test), expected)


def test_count_probabilities_add_up():
    train = np.random.default_rng(0).poisson(4.0, 200)
    assert np.exp(fit(["visits"], train, np.arange(500))).sum() == pytest.approx(1)


@pytest.mark.parametrize("density", [scipy.stats.poisson(30), scipy.stats.nbinom(2, 0.05)])
def test_wide_counts_get_the_negative_binomial(density):
    rng = np.random.default_rng(0)
    train, test = (density.rvs(size, random_state=rng) for size in (1000, 2000))
    assert fit(["visits"], train, test).mean() == pytest.approx(density.logpmf(test).mean(), abs=0.03)


def test_counts_of_few_values_get_their_shares():
    rng = np.random.default_rng(0)
    train, test = (rng.choice([4, 6, 8], size, p=[0.5, 0.2, 0.3]) for size in (1000, 2000))
    shares = {k: np.mean(train == k) for k in (4, 6, 8)}
    expected = np.log([shares[k] for k in test]).mean()
    assert fit(["visits"], train, test).mean() == pytest.approx(expected, abs=0.01)
    assert np.isfinite(fit(["visits"], train, np.array([5, 200]))).all()


def test_missing_cells_are_marginalised():
    rng = np.random.default_rng(0)
    train = np.stack([rng.uniform(-1, 1, 100), rng.poisson(4.0, 100)], 1)
    test = train[:10].copy()
    whole = fit(["income", "visits"], train, test)
    counts = fit(["visits"], train[:, 1], test[:, 1])
    test[:, 0] = np.nan
    np.testing.assert_allclose(fit(["income", "visits"], train, test), counts)
    assert not np.allclose(whole, counts)


def test_constant_and_empty_columns_are_possible():
    empty = np.full(20, np.nan)
    assert np.isfinite(fit(["income", "visits", "sex"], np.stack([empty] * 3, 1), np.ones((5, 3)))).all()
    assert np.isfinite(fit(["income", "visits", "sex"], np.zeros((20, 3)), np.ones((5, 3)))).all()


def test_other_and_noisy_data_have_none():
    x = torch.rand(5, 4)
    images = DataSplit(x, None, to_float)
    assert fit_independent_columns(LoadedDataset(None, images, images, images)) is None
    noisy = split(x[:, :1], ["income"])
    noisy.corrupt = GaussianNoise(0.5)
    assert fit_independent_columns(LoadedDataset(None, noisy, noisy, noisy)) is None
