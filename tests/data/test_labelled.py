import pytest
import torch

from dgm_run.data.labelled import check_num_labels, choose_balanced
from dgm_run.errors import DataError

Y = torch.tensor([0, 1, 2, -1] * 25)


def test_each_class_has_equally_many_labels():
    chosen = choose_balanced(Y, 12, 3, 0, "toy")
    assert Y[chosen].tolist().count(-1) == 0
    assert Y[chosen].bincount().tolist() == [4, 4, 4]
    assert chosen.tolist() == sorted(set(chosen.tolist()))


def test_labels_follow_the_seed():
    first, again, other = (choose_balanced(Y, 12, 3, seed, "toy") for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_labels_are_refused():
    with pytest.raises(DataError, match="78 labels need 26 of each class, and class 0 of toy has 25"):
        choose_balanced(Y, 78, 3, 0, "toy")
    check_num_labels(None, None)
    check_num_labels(9, 3)
    with pytest.raises(ValueError, match="num_labels = 10 must be a positive multiple of num_classes = 3"):
        check_num_labels(10, 3)
    with pytest.raises(ValueError, match="the data have no labels: set num_labels=null"):
        check_num_labels(10, None)
