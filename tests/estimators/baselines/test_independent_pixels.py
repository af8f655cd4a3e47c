from types import SimpleNamespace

import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.baselines.independent_pixels import fit_independent_pixels


def dataset(kind, num_levels, train, test, **more):
    protocol = SimpleNamespace(kind=kind, num_levels=num_levels)
    splits = [DataSplit(x, None, to_float, **more) for x in (train, train, test)]
    return LoadedDataset(protocol, *splits)


@pytest.mark.parametrize(("kind", "num_levels"), [("binary", 2), ("levels", 4)])
def test_pixels_have_the_level_shares(kind, num_levels):
    torch.manual_seed(0)
    train, test = (torch.randint(num_levels, (n, 1, 2, 3)) for n in (2500, 40))
    train[:, 0, 0, 0] = 0  # a level that is never seen is not impossible
    train[:, 0, 1, 2] = train[:, 0, 1, 2].clamp(max=1)
    scale = num_levels - 1
    found = fit_independent_pixels(dataset(kind, num_levels, train / scale, test / scale))
    expected = torch.zeros(40, dtype=torch.float64)
    for row, x in enumerate(test.flatten(1)):
        for pixel, level in enumerate(x):
            count = (train.flatten(1)[:, pixel] == level).sum().double()
            expected[row] += torch.log((count + 1) / (2500 + num_levels))
    torch.testing.assert_close(found.log_p, expected)


def test_of_other_data_nothing_is_said():
    x = torch.rand(5, 1, 2, 2).round()
    assert fit_independent_pixels(dataset("continuous", None, x, x)) is None
    assert fit_independent_pixels(dataset("tokens", None, x, x)) is None
    hidden = torch.where(torch.rand(5, 1, 2, 2) < 0.5, torch.nan, x)
    assert fit_independent_pixels(dataset("binary", 2, hidden, hidden)) is None
    missing = MissingAtRandom(0.5)
    seen = {"corrupt": missing, "corruption_noise": missing.draw(5, (1, 2, 2))}
    assert fit_independent_pixels(dataset("binary", 2, x, x, **seen)) is None
