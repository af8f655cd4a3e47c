import pytest
import torch
from sklearn.decomposition import PCA

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.estimators.samples.features import fit_features


@pytest.fixture(scope="module")
def digits():
    return instantiate(compose("dataset.binarize=none", "dataset.dequantize=true").dataset).load()


def test_classifier_generalises_to_digits(digits):
    features = fit_features("classifier", digits.train, 0)
    x = digits.test.batch(slice(None))
    p = features.probabilities(x)
    assert p.shape == (360, 10)
    torch.testing.assert_close(p.sum(1), torch.ones(360).double())
    assert (p.argmax(1) == digits.test.y).double().mean() > 0.95
    z = features(digits.train.batch(slice(None)))
    assert z.shape == (1257, 64)
    assert z.mean(0).abs().max() < 0.1  # but for the noise of the batch
    assert (z.std(0) - 1).abs().max() < 0.1


def test_seed_fixes_features_and_other_draws(digits):
    x = digits.test.batch(slice(0, 5))
    torch.manual_seed(1)
    first = fit_features("random", digits.train, 3)(x)
    after = torch.rand(())
    torch.manual_seed(1)
    assert torch.rand(()) == after
    torch.manual_seed(2)
    assert torch.equal(fit_features("random", digits.train, 3)(x), first)
    assert not torch.equal(fit_features("random", digits.train, 4)(x), first)


def test_principal_components_match_sklearn():
    torch.manual_seed(0)
    x = torch.randn(200, 2, 40) @ torch.randn(40, 40)
    z = fit_features("pca", DataSplit(x, None, to_float), 0)(x)
    peer = torch.from_numpy(PCA(64).fit_transform(x.flatten(1).double().numpy()))
    across = torch.corrcoef(torch.cat([z, peer], 1).T)[:64, 64:].abs()
    torch.testing.assert_close(across.fliplr(), torch.eye(64).double(), rtol=0, atol=1e-6)


def test_constant_components_are_left_out():
    x = torch.zeros(100, 1, 3, 3)
    x[:, 0, 0] = torch.rand(100, 3)
    z = fit_features("pca", DataSplit(x, None, to_float), 0)(torch.ones(1, 1, 3, 3))
    assert z.shape == (1, 3)
    assert z.abs().max() < 10


def test_pixels_and_vectors_have_features():
    x = torch.rand(30, 2, 3)
    assert torch.equal(fit_features("pixels", DataSplit(x, None, to_float), 0)(x), x.flatten(1).double())
    assert fit_features("random", DataSplit(x, None, to_float), 0)(x).shape == (30, 64)
    y = (x.sum((1, 2)) > 3).long()
    features = fit_features("classifier", DataSplit(x, y, to_float), 0)
    assert (features.probabilities(x).argmax(1) == y).all()
