import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run.data.sources.laplace_sources import LaplaceSources


@pytest.fixture(scope="module")
def source():
    return LaplaceSources(3, 100_000, 10, 500, seed=2)


@pytest.fixture(scope="module")
def splits(source):
    return source()


def test_splits_have_their_sizes_and_another_call_gives_the_same(source, splits):
    assert [split.x.shape for split in splits] == [(100_000, 3), (10, 3), (500, 3)]
    assert all(torch.equal(one.x, other.x) for one, other in zip(splits, source(), strict=True))


def test_unmixed_draws_are_laplace(source, splits):
    x = splits.train.x.numpy()
    np.testing.assert_allclose(np.cov(x.T), np.eye(3), atol=0.03)
    for s in (x @ source.mixing.numpy()).T:
        assert stats.kstest(s, stats.laplace(scale=0.5**0.5).cdf).pvalue > 1e-3


def test_mixing_rotation_that_seed_chooses(source):
    np.testing.assert_allclose(source.mixing @ source.mixing.T, np.eye(3), atol=1e-12)
    assert not torch.allclose(source.mixing, LaplaceSources(3, 1, 1, 1, seed=3).mixing)


def test_the_density_is_that_of_the_sources(source, splits):
    s = splits.test.x.double().numpy() @ source.mixing.numpy()
    np.testing.assert_allclose(splits.test.log_p, stats.laplace(scale=0.5**0.5).logpdf(s).sum(1), rtol=1e-12)


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="dim = 0"):
        LaplaceSources(0, 1, 1, 1, seed=0)


def test_num_valid_that_matters_is_named():
    both = [LaplaceSources(3, 50, num_valid, 20, seed=2)() for num_valid in (10, 11)]
    assert not torch.equal(both[0].test.x, both[1].test.x)
    assert [splits.about.partition("num_valid=")[2][:2] for splits in both] == ["10", "11"]
