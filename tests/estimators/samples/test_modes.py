import math

import pytest
import torch
from scipy.stats import binomtest

from dgm_run.data.dataset import Dataset
from dgm_run.data.sources.gaussian_mixture import GaussianMixture
from dgm_run.errors import ConfigError
from dgm_run.estimators.samples.modes import Modes

SOURCE = GaussianMixture("grid", 9, 4.0, 0.1, 1, 1, 20_000, 0)


class Fixed:
    """Draws these points again and again."""

    def __init__(self, *points):
        self.points = torch.tensor(points)

    def sample(self, n):
        return self.points[torch.arange(n) % len(self.points)]


def count_modes(model, n=1000):
    modes, share = Modes(SOURCE, n)(model, None)
    assert (modes.quantity, share.quantity) == ("modes", "high_quality")
    return modes, share


def test_modes_with_a_near_sample_are_found():
    # at the first mode, just within and just beyond the reach of the second, between all of them
    modes, share = count_modes(Fixed((-4.0, -4.0), (-4.0, 0.29), (0.31, 0.0), (2.0, 2.0)))
    assert modes.value == 2
    assert (modes.train_reference, modes.unit) == (9, "")
    assert "at 7 of 9 modes" in modes.warning
    assert share.value == 0.5
    assert share.interval == pytest.approx(tuple(binomtest(500, 1000).proportion_ci(method="wilson")))
    assert share.stderr == pytest.approx(math.sqrt(0.25 / 1000), rel=1e-2)
    assert (modes.interval, modes.stderr) == (None, None)


def test_draws_of_the_data_reach_reference():
    modes, share = count_modes(Fixed(*SOURCE().test.x.tolist()), 20_000)
    assert (modes.value, modes.warning) == (9, None)
    assert abs(share.value - share.train_reference) < 5 * share.stderr
    assert share.train_reference == pytest.approx(1 - math.exp(-4.5))


def test_unknown_modes_are_refused():
    dataset = Dataset(lambda: None, "others", (2,), None, "none", False, 0, None, None, 0, "none", None, 0, None)
    with pytest.raises(ConfigError, match="modes of others are not known: set dataset=gaussian_mixture"):
        Modes(lambda: None, 10).check(None, type("Data", (), {"dataset": dataset}))
    with pytest.raises(ValueError, match="num_samples = 0"):
        Modes(SOURCE, 0)
