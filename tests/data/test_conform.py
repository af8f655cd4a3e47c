import pytest
import torch

from dgm_run.data.conform import check_levels, conform_levels, conform_shapes
from dgm_run.data.memmap import OnDisk
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.errors import DataError

X = torch.arange(3 * 12).reshape(3, 2, 2, 3).to(torch.uint8)


def splits(x):
    return RawSplits(RawSplit(x), RawSplit(x), RawSplit(x))


@pytest.mark.parametrize(
    ("found", "declared"),
    [((2, 6), (1, 2, 6)), ((2, 6, 1), (1, 2, 6)), ((1, 2, 6), (2, 6)), ((12, 1), (12,)), ((1, 12), (12,))],
)
def test_axes_of_one_are_added_and_dropped(found, declared):
    result, notes = conform_shapes(splits(X.reshape(3, *found)), declared, "toy")
    assert all(torch.equal(split.x, X.reshape(3, *declared)) for split in result)
    assert notes == [f"toy: examples of {list(found)} are read as {list(declared)}"]


def test_a_scalar_is_a_vector_of_one():
    result, _ = conform_shapes(splits(torch.arange(3.0)), (1,), "toy")
    assert result.train.x.tolist() == [[0.0], [1.0], [2.0]]


def test_channels_move_to_the_front():
    result, notes = conform_shapes(splits(X), (3, 2, 2), "toy")
    assert torch.equal(result.test.x[1, 2], X[1, :, :, 2])
    assert len(notes) == 1


def test_the_declared_shape_passes_unchanged():
    result, notes = conform_shapes(splits(X), (2, 2, 3), "toy")
    assert result.train.x is X
    assert notes == []


def test_a_file_on_the_disk_keeps_its_reader():
    result, _ = conform_shapes(splits(OnDisk(X)), (3, 2, 2), "toy")
    assert isinstance(result.train.x, OnDisk)
    assert torch.equal(result.train.x.read_rows(torch.tensor([1]), torch.device("cpu"))[0, 0], X[1, :, :, 0])


@pytest.mark.parametrize(
    ("declared", "fix"),
    [
        ((3, 4), r"save x.reshape\(-1, 3, 4\), if that is the right order, or set dataset.shape=\[2,2,3\]"),
        ((1, 12), "save x.reshape"),
        ((1, 5, 5), r"of \[2, 2, 3\]: set dataset.shape=\[2,2,3\]"),
        ((2, 3, 2), "save x.reshape"),
    ],
)
def test_an_ambiguous_shape_is_refused(declared, fix):
    with pytest.raises(DataError, match=fix):
        conform_shapes(splits(X), declared, "toy")


@pytest.mark.parametrize(("scale", "told"), [(1, "whole numbers"), (15, "intensities in")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_on_a_grid_are_levels(scale, told, dtype):
    levels = torch.arange(16).reshape(4, 4)
    result, notes = conform_levels(splits(levels.to(dtype) / scale), 16, "toy")
    assert result.valid.x.dtype == torch.uint8
    assert torch.equal(result.valid.x, levels.to(torch.uint8))
    assert told in notes[0]


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (torch.tensor([[0.1, 0.93]]), r"likelihood=gaussian; for images save np.round\(x \* 15\)"),
        (torch.tensor([[-1.0, 3.0]]), "real numbers from -1 to 3, not grey levels"),
        (torch.tensor([[3.0, 16.0]]), "real numbers from 3 to 16"),
        (torch.tensor([[3.0, torch.nan]]), "real numbers from 3 to 3"),
    ],
)
def test_other_floats_reported_whole_way_out(x, told):
    with pytest.raises(DataError, match=told) as error:
        conform_levels(splits(x), 16, "toy")
    assert "dataset.num_levels=null dataset.binarize=none likelihood=gaussian" in str(error.value)


def test_all_splits_have_to_be_levels():
    with pytest.raises(DataError, match=r"from 0.5 to 0.5"):
        conform_levels(
            RawSplits(RawSplit(torch.ones(2, 2)), RawSplit(torch.ones(2, 2)), RawSplit(torch.full((2, 2), 0.5))),
            256,
            "",
        )


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        ([0, 1], "has no values but 0 and 1: set dataset.num_levels=2 dataset.binarize=none"),
        ([1], "has no values but 1: set dataset.num_levels=2"),
        ([0, 7], "has no values but 0 and 7: save them as 0 and 1"),
        ([0, 1, 16], "the highest value of toy is 16, .* set dataset.num_levels=17"),
    ],
)
def test_impossible_levels_are_refused(values, fix):
    with pytest.raises(DataError, match=fix):
        check_levels(torch.tensor(values, dtype=torch.uint8), 256, "toy")


@pytest.mark.parametrize(("values", "num_levels"), [([0, 255], 256), ([0, 1], 2), ([0, 16], 17), ([3, 128, 200], 256)])
def test_plausible_levels_pass(values, num_levels):
    assert check_levels(torch.tensor(values, dtype=torch.uint8), num_levels, "toy") == []


def test_dark_images_are_noted():
    assert "the images are dark" in check_levels(torch.tensor([0, 50, 100], dtype=torch.uint8), 256, "toy")[0]
