"""Files of examples are read to the numbers that were written."""

import numpy as np
import pytest
from PIL import Image

from dgm_run.data.example_files import read_examples
from dgm_run.errors import DataError

X = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("header", ["", "a,b,c,d\n"])
@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_tables_of_numbers_have_their_values(header, suffix, delimiter, tmp_path):
    path = tmp_path / f"mine{suffix}"
    lines = [delimiter.join(map(str, row)) for row in X]
    path.write_text(header.replace(",", delimiter) + "\n".join(lines) + "\n")
    x, names = read_examples(path, (4,), None)
    assert np.array_equal(x, X)
    assert names == ["0", "1", "2"]


def test_empty_fields_are_missing_values(tmp_path):
    (tmp_path / "mine.csv").write_text("1,,3\nnan, ,6\n")
    x, _ = read_examples(tmp_path / "mine.csv", (3,), None)
    assert np.array_equal(x, [[1, np.nan, 3], [np.nan, np.nan, 6]], equal_nan=True)


def test_rows_of_a_table_become_images(tmp_path):
    np.save(tmp_path / "mine.npy", X)
    x, _ = read_examples(tmp_path / "mine.npy", (1, 2, 2), None)
    assert np.array_equal(x, X.reshape(3, 1, 2, 2))


@pytest.mark.parametrize("arrays", [{"x": X}, {"test": X, "train": X[:1]}, {"other": X}])
def test_the_array_of_examples_is_found(arrays, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays)
    assert np.array_equal(read_examples(tmp_path / "mine.npz", (4,), None)[0], X)


def test_images_are_read_in_the_order_of_their_names(tmp_path):
    for level, name in ((255, "b.png"), (0, "a.png")):
        Image.new("L", (3, 2), level).save(tmp_path / name)
    x, names = read_examples(tmp_path, (1, 2, 3), 256)
    assert names == ["a.png", "b.png"]
    assert x.flatten(1).float().mean(1).tolist() == [0, 255]
    assert read_examples(tmp_path / "b.png", (1, 2, 3), None)[0].unique().tolist() == [1.0]


def test_lines_of_text_are_sentences(tmp_path):
    (tmp_path / "mine.txt").write_text("one line\nanother\n")
    assert read_examples(tmp_path / "mine.txt", (9,), None) == (["one line", "another"], ["0", "1"])


def test_images_need_a_model_of_images(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"takes examples of shape \[4\], not images"):
        read_examples(tmp_path, (4,), None)


def test_parquet_has_numbers_and_missing_values(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"a": [1, None, 3], "b": [0.5, float("nan"), 2.0]}
    parquet.write_table(arrow.table(columns), tmp_path / "mine.parquet")
    x, _ = read_examples(tmp_path / "mine.parquet", (2,), None)
    assert np.array_equal(x, [[1, 0.5], [np.nan, np.nan], [3, 2.0]], equal_nan=True)
    parquet.write_table(arrow.table({"a": ["x", "y"]}), tmp_path / "text.parquet")
    with pytest.raises(DataError, match="column a holds string, which is no number"):
        read_examples(tmp_path / "text.parquet", (1,), None)
