import time

import numpy as np
import pytest
import torch

from dgm_run.data.sources import static_mnist
from dgm_run.data.sources.static_mnist import StaticMNIST, read_amat
from dgm_run.errors import DataError

SIZES = {"train": 5, "valid": 3, "test": 2}


def text(pixels):
    return b"".join(b" ".join(str(p).encode() for p in row) + b"\n" for row in pixels.reshape(-1, 784).tolist())


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Writes three small files as published and gives the pixels of each."""
    monkeypatch.setattr(static_mnist, "SIZES", SIZES)
    generator = torch.Generator().manual_seed(0)
    pixels = {split: torch.randint(0, 2, (n, 1, 28, 28), generator=generator) for split, n in SIZES.items()}
    (tmp_path / "static_mnist").mkdir()
    for split, values in pixels.items():
        (tmp_path / "static_mnist" / f"binarized_mnist_{split}.amat").write_bytes(text(values))
    return pixels


def test_three_files_are_three_splits(tmp_path, published):
    splits = StaticMNIST(str(tmp_path), download=False)()
    for split, name in zip(splits, SIZES, strict=True):
        assert split.x.dtype == torch.uint8
        assert torch.equal(split.x, published[name].to(torch.uint8))
        assert split.y is None


def test_line_ends_of_windows_do_no_harm(tmp_path, published):
    path = tmp_path / "static_mnist" / "binarized_mnist_test.amat"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert torch.equal(read_amat(path, 2), published["test"].to(torch.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c[: len(c) // 2], "784 pixels instead of 2 x 784"),
        (lambda c: b"", "0 pixels instead of 2 x 784"),
        (lambda c: b"<!DOCTYPE html>" + c, "other characters than 0 and 1"),
        (lambda c: c.replace(b"1", b"2"), "other characters than 0 and 1"),
        (lambda c: c.replace(b"1", b"-"), "other characters than 0 and 1"),
    ],
    ids=["truncated", "empty", "web page", "a two", "below zero"],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, published, change, message):
    path = tmp_path / "static_mnist" / "binarized_mnist_test.amat"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=rf"binarized_mnist_test.amat: .*{message}") as error:
        StaticMNIST(str(tmp_path), download=False)()
    assert "\n" not in str(error.value)


def test_a_file_of_other_bits_is_not_accepted_from_the_network(tmp_path, published, serve, monkeypatch):
    content = (tmp_path / "static_mnist" / "binarized_mnist_train.amat").read_bytes()
    monkeypatch.setattr(static_mnist, "ADDRESS", serve({"binarized_mnist_train.amat": content}))
    with pytest.raises(DataError, match=r"the sha256 of the file is .* not ad693b29"):
        StaticMNIST(str(tmp_path / "empty"), download=True)()
    assert list((tmp_path / "empty").rglob("*.amat")) == []


def test_missing_data_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"static_mnist/binarized_mnist_valid.amat.*larocheh.*dataset=digits"):
        StaticMNIST(str(tmp_path), download=False)()


def test_ten_thousand_images_are_read_in_less_than_a_second(tmp_path):
    path = tmp_path / "a.amat"
    path.write_bytes((b"0 1 " * 392)[:-1].ljust(1567) + b"\n")
    path.write_bytes(path.read_bytes() * 10_000)
    start = time.process_time()
    x = read_amat(path, 10_000)
    assert time.process_time() - start < 1  # splitting into Python strings takes several
    assert np.array_equal(x[7].flatten(), [0, 1] * 392)
