import hashlib
import io
import tarfile

import numpy as np
import pytest
import torch

from dgm_run.data.sources import cifar10
from dgm_run.data.sources.cifar10 import BATCHES, CIFAR10
from dgm_run.errors import DataError


@pytest.fixture
def batches(monkeypatch):
    """The six published files with four images each; the label is the number of the file."""
    monkeypatch.setattr(cifar10, "BATCH_SIZE", 4)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3072), dtype=np.uint8)
    labels = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 4, 1)
    records = np.concatenate([labels, pixels], axis=2)
    return {name: content.tobytes() for name, content in zip(BATCHES, records, strict=True)}


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def archive(batches):
    return pack({f"cifar-10-batches-bin/{name}": content for name, content in batches.items()})


def write_folder(tmp_path, batches):
    (tmp_path / "cifar-10-batches-bin").mkdir()
    for name, content in batches.items():
        (tmp_path / "cifar-10-batches-bin" / name).write_bytes(content)


def test_last_training_batch_for_validation(tmp_path, batches):
    write_folder(tmp_path, batches)
    splits = CIFAR10(str(tmp_path), num_valid=4, download=False)()
    assert [tuple(split.x.shape) for split in splits] == [(16, 3, 32, 32), (4, 3, 32, 32), (4, 3, 32, 32)]
    assert splits.train.y.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert splits.valid.y.tolist() == [4] * 4
    assert splits.test.y.tolist() == [5] * 4


def test_a_record_is_label_then_red_green_and_blue_row_by_row(tmp_path, batches):
    record = bytearray(3073)
    record[0], record[1 + 1024 + 2 * 32 + 7] = 9, 200  # green, row 2, column 7
    batches["test_batch.bin"] = bytes(record) * 4
    write_folder(tmp_path, batches)
    test = CIFAR10(str(tmp_path), num_valid=4, download=False)().test
    assert test.x.dtype == torch.uint8
    assert test.x[0].nonzero().tolist() == [[1, 2, 7]]
    assert test.x[0, 1, 2, 7] == 200
    assert test.y.tolist() == [9] * 4


def test_archive_fetched_and_unpacked_once(tmp_path, batches, serve, monkeypatch):
    content = archive(batches)
    url = serve({"cifar.tar.gz": content}) + "cifar.tar.gz"
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", cifar10.ARCHIVE._replace(url=url, checksum=checksum))
    first = CIFAR10(str(tmp_path / "data"), num_valid=4, download=True)()
    (tmp_path / "data" / "cifar-10-binary.tar.gz").unlink()
    second = CIFAR10(str(tmp_path / "data"), num_valid=4, download=False)()
    assert torch.equal(first.train.x, second.train.x)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-batches-bin"]


def test_archive_put_there_by_hand_is_used(tmp_path, batches):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive(batches))
    assert len(CIFAR10(str(tmp_path), num_valid=4, download=False)().train.x) == 16


@pytest.mark.parametrize(
    "spoil",
    [
        lambda batches: archive(batches)[:-5000],
        lambda batches: b"<html>Not here</html>",
        lambda batches: pack({"something/else.bin": b""}),
        lambda batches: pack({"../outside.bin": b"written outside of the folder"}),
    ],
    ids=["truncated", "web page", "another archive", "climbs out"],
)
def test_a_wrong_archive_is_named_and_leaves_nothing(tmp_path, batches, spoil):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar-10-binary.tar.gz").write_bytes(spoil(batches))
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz: cannot be unpacked") as error:
        CIFAR10(str(tmp_path / "data"), num_valid=4, download=False)()
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda c: c[:-1], "12291 bytes instead of 12292"), (lambda c: b"\xff" * len(c), "labels")],
)
def test_a_wrong_batch_is_named(tmp_path, batches, change, message):
    batches["data_batch_3.bin"] = change(batches["data_batch_3.bin"])
    write_folder(tmp_path, batches)
    with pytest.raises(DataError, match=rf"data_batch_3.bin: .*{message}"):
        CIFAR10(str(tmp_path), num_valid=4, download=False)()


def test_missing_data_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz.*https://www.cs.toronto.edu.*dataset=digits"):
        CIFAR10(str(tmp_path), num_valid=4, download=False)()
