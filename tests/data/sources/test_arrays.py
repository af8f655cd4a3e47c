import re

import numpy as np
import pytest
import torch

from dgm_run import compose, evaluate, run
from dgm_run.data.sources.arrays import Arrays
from dgm_run.errors import CheckpointError, DataError
from tests.support.tiny import TINY


def load(path, num_valid=2, num_test=3, split_seed=None):
    return Arrays(str(path), num_valid, num_test, split_seed)()


def save(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return tmp_path / "mine.npz"


@pytest.fixture
def x():
    return np.random.default_rng(0).integers(0, 256, (10, 4, 3))


def test_three_arrays_are_the_three_splits_with_their_labels(tmp_path, x):
    labels = {"train_y": [1, 2, 3, 4], "test_y": [5, 6, 7]}
    splits = load(save(tmp_path, train=x[:4], valid=x[4:7], test=x[7:], **labels))
    for split, part in zip(splits, (x[:4], x[4:7], x[7:]), strict=True):
        assert split.x.dtype == torch.uint8
        assert np.array_equal(split.x, part)
    assert splits.train.y.tolist() == [1, 2, 3, 4]
    assert splits.valid.y is None
    assert splits.test.y.tolist() == [5, 6, 7]


def test_one_array_is_split_in_its_order_without_a_seed(tmp_path, x):
    splits = load(save(tmp_path, x=x, y=np.arange(10)))
    assert [split.y.tolist() for split in splits] == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]
    assert np.array_equal(splits.test.x, x[7:])


def test_one_array_is_shuffled_with_its_labels_under_a_seed(tmp_path, x):
    path = save(tmp_path, x=x, y=np.arange(10))
    splits = load(path, split_seed=0)
    order = torch.cat([split.y for split in splits])
    assert sorted(order.tolist()) == list(range(10)) != order.tolist()
    assert np.array_equal(torch.cat([split.x for split in splits]), x[order])
    assert torch.equal(load(path, split_seed=0).test.y, splits.test.y)
    assert not torch.equal(load(path, split_seed=1).test.y, splits.test.y)


def test_an_npy_file_is_one_array(tmp_path, x):
    np.save(tmp_path / "mine.npy", x)
    splits = load(tmp_path / "mine.npy")
    assert [len(split.x) for split in splits] == [5, 2, 3]
    assert np.array_equal(splits.train.x, x[:5])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_stay_values(tmp_path, kind):
    values = np.linspace(-2, 2, 40).reshape(10, 4).astype(kind)
    train = load(save(tmp_path, x=values)).train.x
    assert train.dtype == (torch.float64 if kind == np.float64 else torch.float32)
    assert np.array_equal(train, values[:5].astype(np.float64))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int64, ">u2"])
def test_integers_become_levels(tmp_path, kind):
    values = np.arange(20).reshape(10, 2).astype(kind)
    train = load(save(tmp_path, x=values)).train.x
    assert train.dtype == torch.uint8
    assert np.array_equal(train, values[:5])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": np.zeros((3, 2)), "b": np.zeros(3)},
            "needs arrays train, valid and test, or one array x; it holds a, b",
        ),
        ({"train": np.zeros((3, 2)), "test": np.zeros((3, 2))}, "it holds train, test"),
        ({}, "it holds nothing"),
        ({"x": np.array([{1: 2}, None])}, "no .npz or .npy file of plain numbers"),
        ({"x": np.full((10, 2), 256)}, "x has integers from 256 to 256; levels go from 0 to 255"),
        ({"x": np.full((10, 2), -1)}, "levels go from 0 to 255"),
        ({"x": np.full((10, 2), "a")}, "x is of type <U1"),
        ({"x": np.zeros((10, 2), dtype=complex)}, "x is of type complex128"),
        ({"x": np.zeros(())}, r"x has the shape \[\]"),
        ({"x": np.zeros((10, 2)), "y": np.zeros(9, dtype=int)}, "y is .* labels are 10 integers"),
        ({"x": np.zeros((10, 2)), "y": np.full(10, 0.5)}, "y is of type float64"),
    ],
    ids=[
        "keys",
        "a key",
        "none",
        "object",
        "big",
        "negative",
        "text",
        "complex",
        "flat",
        "fewer labels",
        "floats",
    ],
)
def test_arrays_that_cannot_be_used_refused(tmp_path, arrays, message):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError, match=f"mine.npz.*{message}") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_pickle_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").touch, ())

    np.save(tmp_path / "mine.npy", np.array([Bomb()]), allow_pickle=True)
    with pytest.raises(DataError, match="no .npz or .npy file of plain numbers"):
        load(tmp_path / "mine.npy")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"<html>\n</html>", b"PK\x03\x04 cut short"])
def test_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mine.npz is no .npz or .npy file") as error:
        load(tmp_path / "mine.npz")
    assert "\n" not in str(error.value)


def test_truncated_file_is_refused(tmp_path, x):
    path = save(tmp_path, x=x)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"mine.npz is no .npz or .npy file"):
        load(path)


@pytest.mark.parametrize(("name", "how"), [("x.csv", "'x.csv', delimiter=','"), ("x.TSV", "'x.TSV'")])
def test_a_table_is_refused_before_the_model(tmp_path, name, how):
    """The default likelihood takes binary data, and is no reason to be told first."""
    (tmp_path / name).write_text("a,b")
    with pytest.raises(DataError) as error:
        run(compose(*TINY, "dataset=arrays", f"dataset.source.path={tmp_path / name}"), tmp_path / "run")
    advice = f"save its numbers in one, np.save('x.npy', np.loadtxt({how}))"
    assert str(error.value) == f"{tmp_path / name} is no .npz or .npy file: {advice}"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"mine.npz: no such file; set dataset.source.path"):
        load(tmp_path / "mine.npz")


def test_changed_arrays_are_refused(tmp_path, x):
    cfg = compose(*TINY, "dataset=arrays", f"dataset.source.path={save(tmp_path, x=x.repeat(5, 0))}",
                  "dataset.shape=[4,3]", "dataset.num_levels=256", "dataset.binarize=dynamic",
                  "dataset.source.num_valid=5", "dataset.source.num_test=5")  # fmt: skip
    found = run(cfg, tmp_path / "run")
    assert re.fullmatch(r"dynamic \(.*\); md5 [0-9a-f]{8}", found["preprocessing"])
    assert evaluate(cfg, tmp_path / "run")["preprocessing"] == found["preprocessing"]
    save(tmp_path, x=x[::-1].repeat(5, 0))
    with pytest.raises(CheckpointError, match="arrays has changed since the run started: then dynamic .*md5"):
        evaluate(cfg, tmp_path / "run")
    cfg.trainer.resume, cfg.trainer.max_epochs = "auto", 2
    with pytest.raises(CheckpointError, match="arrays has changed since the run started"):
        run(cfg, tmp_path / "run")
