import math

import pytest
import torch
from scipy.stats import norm
from sklearn.decomposition import PCA, FactorAnalysis

from dgm_run.config.compose import compose
from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.estimators.baselines.linear import LinearBaseline
from dgm_run.models.linear.factor_analysis import FactorAnalysis as OurFactorAnalysis
from dgm_run.models.linear.ppca import PPCA

SETTINGS = {"latent_dim": 3, "min_scale": 0.0, "relative_min_scale": 1e-3, "tolerance": 1e-9, "max_steps": 5000}

NO_MODEL = torch.nn.Identity()


def examples(n, seed):
    torch.manual_seed(0)
    weight, bias, scale = torch.randn(3, 8), torch.randn(8), torch.rand(8) + 0.2
    torch.manual_seed(seed)
    return DataSplit(torch.randn(n, 3) @ weight + bias + scale * torch.randn(n, 8), None, to_float)


def test_fits_match_maximum_likelihood():
    train, test = examples(500, 1), examples(100, 2)
    columns, ppca, factors = LinearBaseline(**SETTINGS).fit(NO_MODEL, train, train)(NO_MODEL, test)
    assert (columns.quantity, ppca.quantity, factors.quantity) == ("independent_columns", "ppca", "factor_analysis")
    assert ppca.kind == "exact"
    x, y = train.x.double().numpy(), test.x.double().numpy()
    assert columns.value == pytest.approx(norm(x.mean(0), x.std(0)).logpdf(y).sum(1).mean())
    assert ppca.value == pytest.approx(PCA(3).fit(x).score(y), abs=0.02)  # it divides by n - 1
    peer = FactorAnalysis(3, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    assert factors.value == pytest.approx(peer.score(y), abs=1e-3)
    assert factors.settings == {"latent_dim": 3, "min_scale": 0.0, "relative_min_scale": 1e-3}
    assert factors.baseline.log_p.mean().item() == pytest.approx(factors.value)
    assert factors.warning is None


def test_latent_dim_is_capped_by_pixels():
    train = examples(100, 1)
    found = LinearBaseline(**(SETTINGS | {"latent_dim": 40})).fit(NO_MODEL, train, train)
    assert found.fits[1].density.latent_dim == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("latent_dim", 0), ("tolerance", 0), ("max_steps", 0), ("min_scale", -1.0), ("relative_min_scale", 1.0)],
)
def test_bad_settings_are_refused(name, value):
    with pytest.raises(ValueError, match="must be positive|must not be negative"):
        LinearBaseline(**(SETTINGS | {name: value}))


def values(x, **settings):
    train = DataSplit(x, None, to_float)
    found = LinearBaseline(**(SETTINGS | settings)).fit(NO_MODEL, train, train)(NO_MODEL, train)
    return {each.quantity: each for each in found}


@pytest.mark.usefixtures("double")
def test_units_change_log_p_by_the_jacobian():
    x = examples(300, 1).x.double()
    scale = torch.logspace(-4, 4, 8).double()
    before, after = values(x), values(x * scale + 1e6 * scale)
    for name in ("independent_columns", "factor_analysis"):
        expected = before[name].value - scale.log().sum().item()
        assert after[name].value == pytest.approx(expected, rel=1e-6)
    scaled = values(1e-8 * x)["ppca"].value
    assert scaled == pytest.approx(before["ppca"].value + 8 * 8 * math.log(10), rel=1e-6)


@pytest.mark.usefixtures("double")
def test_warnings_name_floors_and_few_data():
    x = examples(300, 1).x.double()
    x[:, 3] = 7.0
    found = values(x)
    constant = "1 of 8 columns are constant over the training examples"
    floor = "the noise of 1 of 8 columns is at its floor, on which the likelihood depends (relative_min_scale=0.001)"
    assert found["factor_analysis"].warning == found["independent_columns"].warning == f"{floor}\n{constant}"
    assert found["ppca"].warning == constant
    few = values(examples(5, 1).x.double(), latent_dim=5)
    assert "fewer training examples (5) than dimensions (8)" in few["factor_analysis"].warning
    assert few["ppca"].warning.startswith("the noise of all columns is at its floor")


def test_one_column_has_no_linear_model():
    assert set(values(torch.randn(50, 1))) == {"independent_columns"}


def test_of_equal_examples_it_says_nothing():
    assert values(torch.full((5, 4), 3.0)) == {}
    floored = values(torch.full((5, 4), 3.0), min_scale=0.1)
    assert floored["factor_analysis"].value == pytest.approx(-4 * math.log(0.1 * math.sqrt(2 * math.pi)))


def test_of_missing_values_it_says_nothing():
    x = torch.randn(50, 4)
    x[3, 1] = torch.nan
    assert values(x) == {}


@pytest.mark.parametrize(
    ("overrides", "holder"),
    [(("model=ppca",), "model"), (("model=factor_analysis",), "model"), (("likelihood=gaussian",), "likelihood")],
)
def test_its_floor_is_that_of_the_model(overrides, holder):
    cfg = compose(*overrides, f"{holder}.min_scale=0.25", f"{holder}.relative_min_scale=0.125", "model.latent_dim=7")
    node = cfg.estimators.linear_baseline
    assert (node.min_scale, node.relative_min_scale, node.latent_dim) == (0.25, 0.125, 7)


def test_of_corrupted_data_it_says_nothing():
    train = examples(50, 1)
    missing = MissingAtRandom(0.5)
    corrupted = DataSplit(train.x, None, to_float, corrupt=missing, corruption_noise=missing.draw(50, (8,)))
    assert LinearBaseline(**SETTINGS).fit(NO_MODEL, corrupted, corrupted)(NO_MODEL, corrupted) == []


def advise(model):
    """The advice of each baseline to a model that is worse, by the baseline's name."""
    data = examples(50, 4)
    rows = LinearBaseline(**SETTINGS).fit(model, data, data)(model, data)
    return {row.quantity: row.baseline and row.baseline.advice for row in rows}


def test_linear_models_get_advice_that_they_can_follow():
    closed = {"min_scale": 0.0, "relative_min_scale": 0.001}
    assert set(advise(OurFactorAnalysis((8,), latent_dim=3, **closed)).values()) == {"train longer"}
    ppca = PPCA((8,), latent_dim=3, **closed)  # the other baselines have noise of each column
    assert advise(ppca) == {"independent_columns": None, "ppca": "train longer", "factor_analysis": None}
    others = advise(NO_MODEL)
    assert others["factor_analysis"] == (
        "train longer, or change optimizer.lr, or standardise the data (dataset.standardize=columns), "
        "or take model=factor_analysis"
    )
    assert others["independent_columns"].endswith("(dataset.standardize=columns)")
