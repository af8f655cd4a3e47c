"""W&B offline, read from its own file: the log format of LevelDB, with records of W&B's protocol."""

import json
import struct

import pytest

import dgm_run
from tests.support.services import read_identity, read_steps, train_killed_run
from tests.support.tiny import TINY

pytest.importorskip("wandb")

OFFLINE = ("logger=[wandb]", "logger.wandb.mode=offline")
BLOCK = 32768
FULL, LAST = 1, 4  # kinds of the piece that ends a record


def read_records(folder):
    """Yields the records of the only offline run in a folder."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data = path.read_bytes()
    position = 7  # after the header of the file
    content = b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:  # no header of a piece fits into the rest of a block
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            yield record
            content = b""


def read_rows(folder):
    """Returns the rows of the history: names, joined by slashes, to values."""
    rows = [record.history for record in read_records(folder) if record.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item} for row in rows]


@pytest.mark.slow
def test_killed_run_has_each_step_once(tmp_path, monkeypatch):
    train_killed_run(tmp_path, monkeypatch, *OFFLINE)
    rows = read_rows(tmp_path)
    assert [row["_step"] for row in rows] == sorted({row["_step"] for row in rows})
    for name, expected in read_steps(tmp_path).items():
        assert [(row["_step"], row[name]) for row in rows if name in row] == expected, name


@pytest.mark.slow
def test_run_keeps_its_id_and_settings(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, *OFFLINE), tmp_path)
    first = read_identity(tmp_path, "wandb")["id"]
    dgm_run.run(dgm_run.compose(*TINY, *OFFLINE, "trainer.max_epochs=2", "trainer.resume=auto"), tmp_path)
    (run,) = [record.run for record in read_records(tmp_path) if record.WhichOneof("record_type") == "run"]
    assert run.run_id == first == read_identity(tmp_path, "wandb")["id"]
    settings = {each.key: json.loads(each.value_json) for each in run.config.update}
    assert settings["model.latent_dim"] == 2
    assert settings["prior"] == "StandardPrior"


@pytest.mark.slow
def test_pictures_and_histograms_are_logged(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, *OFFLINE), tmp_path)
    (last,) = [row for row in read_rows(tmp_path) if "samples/path" in row]
    (folder,) = tmp_path.glob("wandb/offline-run-*/files")
    assert (folder / last["samples/path"]).read_bytes() == (tmp_path / "samples" / "epoch_0001.png").read_bytes()
    assert any(name.startswith("weights/") for row in read_rows(tmp_path) for name in row)
