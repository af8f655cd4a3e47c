import os
from pathlib import Path

import pytest
import torch

from dgm_run.data.sources.mnist import MNIST
from dgm_run.errors import DataError


def write_idx(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.dim()]) + sizes + values.to(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_last_training_images_for_validation(tmp_path, name):
    x, y = torch.randint(0, 256, (16, 28, 28)), torch.arange(16) % 10
    for stem, part in (("train", slice(0, 12)), ("t10k", slice(12, 16))):
        write_idx(tmp_path / name / "raw" / f"{stem}-images-idx3-ubyte", x[part])
        write_idx(tmp_path / name / "raw" / f"{stem}-labels-idx1-ubyte", y[part])
    splits = MNIST(str(tmp_path), name, num_valid=3, inverted=False, download=False)()
    for split, part in zip(splits, (slice(0, 9), slice(9, 12), slice(12, 16)), strict=True):
        assert split.x.dtype == torch.uint8
        assert torch.equal(split.x, x[part].to(torch.uint8).unsqueeze(1))
        assert torch.equal(split.y, y[part])
    inverted = MNIST(str(tmp_path), name, num_valid=3, inverted=True, download=False)()
    for split, other in zip(splits, inverted, strict=True):
        assert torch.equal(split.x.int() + other.x.int(), torch.full_like(split.x, 255).int())
        assert torch.equal(split.y, other.y)


def test_missing_files_are_asked_for(tmp_path):
    with pytest.raises(DataError) as error:
        MNIST(str(tmp_path), "MNIST", num_valid=3, inverted=False, download=False)()
    for part in (str(tmp_path), "MNIST/raw/t10k-labels-idx1-ubyte.gz", "https://", "DGM_DATA_DIR", "digits"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(
    not (Path(os.environ.get("DGM_DATA_DIR", "none")) / "MNIST").is_dir(),
    reason="DGM_DATA_DIR names no folder with MNIST",
)
def test_the_real_mnist_is_read():
    splits = MNIST(os.environ["DGM_DATA_DIR"], "MNIST", num_valid=10_000, inverted=False, download=False)()
    assert [tuple(split.x.shape) for split in splits] == [(n, 1, 28, 28) for n in (50_000, 10_000, 10_000)]
    assert splits.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits.test.y[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = torch.cat([splits.train.x, splits.valid.x])
    assert abs(pixels.sum().item() / pixels.numel() / 255 - 0.1307) < 5e-5  # the mean that everyone normalises by
