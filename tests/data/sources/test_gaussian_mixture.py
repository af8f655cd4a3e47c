import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run.data.sources.gaussian_mixture import GaussianMixture


def make(arrangement="grid", num_modes=9, radius=2.0, scale=0.5, sizes=(50_000, 10, 500), seed=3):
    return GaussianMixture(arrangement, num_modes, radius, scale, *sizes, seed)


def test_a_grid_and_a_ring_have_their_modes_where_they_are_asked():
    corners = {(x, y) for x in (-2.0, 0.0, 2.0) for y in (-2.0, 0.0, 2.0)}
    assert {tuple(mean) for mean in make().means.tolist()} == corners
    ring = make("ring", 4).means
    np.testing.assert_allclose(ring, [[2, 0], [0, 2], [-2, 0], [0, -2]], atol=1e-12)


@pytest.mark.parametrize("arrangement", ["grid", "ring"])
def test_modes_are_equally_likely(arrangement):
    source = make(arrangement)
    x, y, _ = source().train
    assert stats.chisquare(np.bincount(y, minlength=9)).pvalue > 1e-3
    noise = (x.double() - source.means[y]) / 0.5
    assert stats.kstest(noise.flatten(), "norm").pvalue > 1e-3


def test_the_density_is_that_of_the_mixture():
    source = make()
    split = source().test
    parts = [stats.multivariate_normal(mean, 0.25).pdf(split.x.double()) for mean in source.means]
    np.testing.assert_allclose(split.log_p, np.log(np.mean(parts, 0)), rtol=1e-9)


def test_splits_are_drawn_by_the_seed():
    source = make()
    splits = source()
    assert [len(split.x) for split in splits] == [50_000, 10, 500]
    assert not torch.equal(splits.train.x[:10], splits.valid.x)
    assert all(torch.equal(one.x, other.x) for one, other in zip(splits, source(), strict=True))
    assert not torch.equal(make(seed=4)().valid.x, splits.valid.x)


@pytest.mark.parametrize(
    ("change", "told"),
    [({"num_modes": 8}, "set 4 or 9"), ({"scale": 0.0}, "positive"), ({"num_modes": 1}, "at least 2")],
)
def test_what_makes_no_mixture_is_refused(change, told):
    with pytest.raises(ValueError, match=told):
        make(**change)


def test_num_valid_changes_no_test_example():
    one, other = (GaussianMixture("ring", 8, 2.0, 0.1, 30, num_valid, 20, seed=1)() for num_valid in (10, 11))
    assert torch.equal(one.test.x, other.test.x)
