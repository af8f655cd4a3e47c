import pytest
import torch
from sklearn.decomposition import PCA, FactorAnalysis

from dgm_run.data.corrupt import MissingAtRandom
from dgm_run.data.dataset import Examples, to_float
from dgm_run.estimators.linear_baseline import LinearBaseline

SETTINGS = {"latent_dim": 3, "min_scale": 1e-3, "tolerance": 1e-9, "max_steps": 5000}

NO_MODEL = torch.nn.Identity()


def examples(n, seed):
    torch.manual_seed(0)
    weight, bias, scale = torch.randn(3, 8), torch.randn(8), torch.rand(8) + 0.2
    torch.manual_seed(seed)
    return Examples(torch.randn(n, 3) @ weight + bias + scale * torch.randn(n, 8), None, to_float)


def test_both_are_fitted_to_the_training_data_and_asked_about_others():
    train, test = examples(500, 1), examples(100, 2)
    ppca, factors = LinearBaseline(**SETTINGS).fitted(NO_MODEL, train, train)(NO_MODEL, test)
    assert (ppca.quantity, factors.quantity, ppca.kind) == ("ppca", "factor_analysis", "exact")
    x, y = train.x.double().numpy(), test.x.double().numpy()
    assert ppca.value == pytest.approx(PCA(3).fit(x).score(y), abs=0.02)  # it divides by n - 1
    peer = FactorAnalysis(3, tol=1e-12, max_iter=20_000, svd_method="lapack").fit(x)
    assert factors.value == pytest.approx(peer.score(y), abs=1e-3)
    assert factors.settings == {"latent_dim": 3, "min_scale": 1e-3}


def test_more_dimensions_than_pixels_are_as_many_as_there_can_be():
    train = examples(100, 1)
    found = LinearBaseline(**(SETTINGS | {"latent_dim": 40})).fitted(NO_MODEL, train, train)
    assert found.fits[0][1].latent_dim == 7


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match="must be positive"):
        LinearBaseline(**(SETTINGS | {name: 0}))


def test_of_corrupted_data_it_says_nothing():
    train = examples(50, 1)
    holes = MissingAtRandom(0.5)
    seen = Examples(train.x, None, to_float, corrupt=holes, drawn=holes.draw(50, (8,)))
    assert LinearBaseline(**SETTINGS).fitted(NO_MODEL, seen, seen)(NO_MODEL, seen) == []
