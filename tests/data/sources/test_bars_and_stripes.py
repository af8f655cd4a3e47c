import itertools
import math
from collections import Counter

import pytest
import torch

from dgm_run.data.sources.bars_and_stripes import BarsAndStripes


def enumerate_patterns(size):
    """Counts the images of size x size whose rows, or whose columns, are each of one colour."""
    kept = Counter()
    for bits in itertools.product((0, 1), repeat=size * size):
        image = torch.tensor(bits).reshape(size, size)
        rows, columns = (bool((lines == lines[:, :1]).all()) for lines in (image, image.T))
        if rows or columns:
            kept[bits] = rows + columns
    return kept


@pytest.mark.parametrize("size", [1, 2, 3])
def test_lines_have_one_colour(size):
    x = BarsAndStripes(size)().train.x
    assert x.dtype == torch.uint8
    assert x.shape == (2 ** (size + 1), 1, size, size)
    assert Counter(map(tuple, x.flatten(1).tolist())) == enumerate_patterns(size)


def test_4x4_has_30_distinct_images():
    counts = Counter(map(tuple, BarsAndStripes(4)().train.x.flatten(1).tolist()))
    assert len(counts) == 30
    assert {image for image, count in counts.items() if count == 2} == {(0,) * 16, (1,) * 16}


def test_all_splits_are_the_full_set():
    splits = BarsAndStripes(3)()
    train, valid, test = splits
    assert torch.equal(train.x, valid.x)
    assert torch.equal(train.x, test.x)
    assert splits.about == "training, validation and test examples are the same"


@pytest.mark.parametrize("size", [1, 3, 5])
def test_stated_bound_is_negative_entropy(size):
    counts = Counter(map(tuple, BarsAndStripes(size)().train.x.flatten(1).tolist()))
    total = 2 ** (size + 1)
    entropy = -sum(n / total * math.log(n / total) for n in counts.values())
    assert entropy == pytest.approx((size + 1 - 2 ** (1 - size)) * math.log(2))


@pytest.mark.parametrize("size", [0, 13])
def test_size_that_makes_no_sense_is_refused(size):
    with pytest.raises(ValueError, match=f"size = {size}"):
        BarsAndStripes(size)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_probability_of_image_is_known(size):
    split = BarsAndStripes(size)().test
    counts = Counter(images := [tuple(image) for image in split.x.flatten(1).tolist()])
    assert split.log_p.exp().tolist() == pytest.approx([counts[image] / 2 ** (size + 1) for image in images])
