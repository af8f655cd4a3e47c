import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.data_split import DataSplit, to_float

X = torch.arange(12.0).view(6, 2)


def test_batches_hold_each_example_once():
    split = DataSplit(X, None, to_float)
    assert torch.equal(torch.cat(list(split.batches(4))), X)
    assert torch.equal(torch.cat(list(split.batches(4, num=5))), X[:5])


def test_map_changes_batches_and_drops_labels():
    split = DataSplit(X, torch.arange(6), to_float).map(lambda x: 2 * x)
    assert split.y is None
    assert torch.equal(split.batch(torch.tensor([5, 0])), 2 * X[[5, 0]])


def test_corruption_hides_values_until_removed():
    noise = torch.zeros(6, 2, dtype=torch.bool)
    noise[1, 0] = True
    split = DataSplit(X, None, to_float, corrupt=MissingAtRandom(0.5), corruption_noise=noise)
    assert torch.equal(split.batch(slice(None)).isnan(), noise)
    assert split.num_observed.tolist() == [2, 1, 2, 2, 2, 2]
    assert torch.equal(split.uncorrupted.batch(slice(None)), X)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_map_batches_ignores_block_size(size):
    split = DataSplit(X, None, to_float)
    found = split.map_batches(size, lambda x: {"sum": x.sum(1)}, lambda done, total: None)
    assert torch.equal(found["sum"], X.sum(1))
