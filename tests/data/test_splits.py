import pytest
import torch

from dgm_run.data.splits import split_sizes
from dgm_run.errors import DataError


def test_splits_are_cut_in_order_and_keep_labels_with_examples():
    x, y = torch.arange(10), torch.arange(10) * 2
    splits = split_sizes(x, y, num_valid=3, num_test=2)
    assert [split.x.tolist() for split in splits] == [[0, 1, 2, 3, 4], [5, 6, 7], [8, 9]]
    assert all(torch.equal(split.y, 2 * split.x) for split in splits)


def test_without_labels_there_are_none():
    assert [split.y for split in split_sizes(torch.arange(10), None, 3, 2)] == [None] * 3


def test_no_examples_may_be_asked_for():
    splits = split_sizes(torch.arange(10), None, 0, 0)
    assert [len(split.x) for split in splits] == [10, 0, 0]


@pytest.mark.parametrize(("num_valid", "num_test"), [(5, 5), (11, 0), (0, 10)])
def test_splits_that_leave_nothing_to_train_on_are_refused(num_valid, num_test):
    with pytest.raises(DataError, match=f"{num_valid} for validation and {num_test} for test"):
        split_sizes(torch.arange(10), None, num_valid, num_test)
