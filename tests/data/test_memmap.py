import json
import threading

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.data.memmap import OnDisk, as_tensor, map_array
from dgm_run.data.sources.arrays import Arrays
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import ConfigError, DataError
from dgm_run.estimators.baselines import independent_pixels
from tests.data.sources.test_image_folder import load as load_images
from tests.data.sources.test_image_folder import save as save_image
from tests.support.tiny import TINY, TINY_GAN, metrics, stop_after

CPU = torch.device("cpu")


@pytest.fixture
def x(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.save(tmp_path / "x.npy", array)
    return as_tensor(map_array(tmp_path / "x.npy")), torch.from_numpy(array)


def test_rows_are_those_of_the_file(x):
    on_disk, array = x
    disk, index = OnDisk(on_disk), torch.tensor([3, 19, 0, 3])
    assert torch.equal(disk.read_rows(index, CPU), array[index])
    assert torch.equal(disk.read_rows(slice(5, 8), CPU), array[5:8])


def test_expected_rows_are_prefetched(x, monkeypatch):
    on_disk, array = x
    disk, order = OnDisk(on_disk), torch.randperm(20)
    threads = []
    read = disk._read
    monkeypatch.setattr(disk, "_read", lambda *of: threads.append(threading.current_thread().name) or read(*of))
    first, second, third = order[:5], order[5:10], order[5:9]
    disk.prefetch([first, second], CPU)
    for index in (second, first, third, first):
        assert torch.equal(disk.read_rows(index, CPU), array[index])
    assert [name.startswith("reader") for name in threads] == [True, True, False, False]
    disk.prefetch([first], CPU)
    disk.prefetch([second], CPU)
    assert torch.equal(disk.read_rows(first, CPU), array[first])


def folder_and_file(tmp_path, dtype=np.uint8):
    """The same examples in a folder and in a file: 250 to train on, 20 and 30."""
    draws = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 250), ("valid", 20), ("test", 30)):
        shape = (n, 1, 4, 4)
        arrays[name] = draws.integers(0, 256, shape, dtype) if dtype == np.uint8 else draws.random(shape, dtype)
        arrays[f"{name}_y"] = draws.integers(0, 2, n)
    (tmp_path / "folder").mkdir()
    for name, array in arrays.items():
        np.save(tmp_path / "folder" / f"{name}.npy", array)
    np.savez(tmp_path / "file.npz", **arrays)
    return tmp_path / "folder", tmp_path / "file.npz"


LEVELS = ("dataset.num_levels=256", "dataset.dequantize=false")


@pytest.mark.parametrize(
    "overrides",
    [
        (*TINY, *LEVELS, "dataset.binarize=dynamic"),
        pytest.param(
            (*TINY, *LEVELS, "dataset.binarize=threshold", "trainer.micro_batches=3"), marks=pytest.mark.slow
        ),
        pytest.param(
            (*TINY, *LEVELS, "likelihood=discretized_logistic", "trainer.compile=false"), marks=pytest.mark.slow
        ),
        (*TINY_GAN, "encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]", "dataset.num_levels=256",
         "dataset.dequantize=true", "trainer.num_critic_steps=2"),
        ("model=m2", *TINY, "model.latent_dim=12", *LEVELS, "dataset.binarize=dynamic", "dataset.num_labels=20",
         "estimators.classification.num_samples=2", "dataset.num_classes=2"),
    ],
    ids=["dynamic", "threshold", "levels", "dequantised", "labelled"],
)  # fmt: skip
def test_disk_and_memory_give_equal_runs(overrides, tmp_path):
    found = []
    for path in folder_and_file(tmp_path):
        shape = ("dataset=arrays", f"dataset.source.path={path}", "dataset.shape=[1,4,4]", "trainer.batch_size=32")
        dgm_run.run(dgm_run.compose(*overrides, *shape, "trainer.max_epochs=2"), tmp_path / path.stem)
        results = json.loads((tmp_path / path.stem / "results.json").read_text())
        found.append((metrics(tmp_path / path.stem), [row["value"] for row in results["estimates"]]))
    assert found[0] == found[1]


def test_stopped_epoch_resumes_at_next_batch(tmp_path, monkeypatch):
    folder, _ = folder_and_file(tmp_path)
    shape = ("dataset=arrays", f"dataset.source.path={folder}", "dataset.shape=[1,4,4]", "trainer.batch_size=32")
    overrides = (*TINY, *LEVELS, "dataset.binarize=dynamic", *shape, "trainer.max_epochs=2")
    dgm_run.run(dgm_run.compose(*overrides), tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Interrupted, match="stopped after step 5"):
            dgm_run.run(dgm_run.compose(*overrides), tmp_path / "stopped")
    dgm_run.run(dgm_run.compose(*overrides, "trainer.resume=auto"), tmp_path / "stopped")
    assert metrics(tmp_path / "stopped") == metrics(tmp_path / "whole")


def test_training_examples_stay_on_disk(tmp_path):
    folder, _ = folder_and_file(tmp_path)
    train, valid, test = Arrays(str(folder), 0, 0, None)()
    assert isinstance(train.x, OnDisk)
    assert not isinstance(valid.x, OnDisk)
    assert not isinstance(test.x, OnDisk)
    assert len(train.y) == 250
    before = train.x.x[7].clone()
    content = bytearray((folder / "train.npy").read_bytes())
    content[-1] ^= 255  # seen through the mapping: the file is what there is
    (folder / "train.npy").write_bytes(content)
    assert torch.equal(train.x.x[7], before)
    assert train.x.x[-1].flatten()[-1] == content[-1]


def test_training_set_may_exceed_memory(tmp_path, monkeypatch):
    """64 GiB of zeros, in a sparse file."""
    monkeypatch.setattr(independent_pixels, "NUM_TRAIN", 2000)  # the baseline would count 60,000 images
    folder = tmp_path / "large"
    folder.mkdir()
    np.lib.format.open_memmap(folder / "train.npy", mode="w+", dtype=np.uint8, shape=(2**22, 1, 128, 128))
    for name in ("valid", "test"):
        np.save(folder / f"{name}.npy", np.zeros((2, 1, 128, 128), np.uint8))
    dataset = ("dataset=arrays", f"dataset.source.path={folder}", "dataset.shape=[1,128,128]",
               "dataset.num_levels=256", "dataset.binarize=dynamic")  # fmt: skip
    sizes = ("encoder.hidden_dims=[2]", "decoder.hidden_dims=[2]", "trainer.batch_size=2", "trainer.max_steps=3")
    found = dgm_run.run(dgm_run.compose(*TINY, *dataset, *sizes, "trainer.image_every_epochs=null"), tmp_path / "run")
    assert found["training"]["steps"] == 3


def test_folder_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(DataError, match=r"needs arrays train.npy, valid.npy and test.npy; it holds nothing"):
        Arrays(str(tmp_path), 0, 0, None)()
    np.save(tmp_path / "train.npy", np.zeros((3, 2), np.int64))
    for name in ("valid", "test"):
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 2), np.uint8))
    with pytest.raises(DataError, match=r"train is of type int64; save it as uint8, or as floats"):
        Arrays(str(tmp_path), 0, 0, None)()
    (tmp_path / "valid.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"valid.npy is no .npy file of plain numbers"):
        Arrays(str(tmp_path), 0, 0, None)()


@pytest.mark.parametrize("change", ["dataset.binarize=fixed", "dataset/corrupt=missing_at_random"])
def test_permanent_changes_are_refused(change, tmp_path):
    folder, _ = folder_and_file(tmp_path)
    overrides = ["dataset=arrays", f"dataset.source.path={folder}", "dataset.shape=[1,4,4]", *LEVELS]
    overrides += [] if "binarize" in change else ["dataset.binarize=dynamic"]
    with pytest.raises((DataError, ConfigError), match=r"on the disk cannot be changed permanently"):
        dgm_run.run(dgm_run.compose(*TINY, *overrides, change), tmp_path / "run")


def values(split):
    return split.x.x if isinstance(split.x, OnDisk) else split.x


def test_images_are_decoded_once_and_anew_when_they_change(tmp_path):
    for number in range(6):
        save_image(tmp_path / "images" / f"{number}.png", np.full((4, 6), 10 * number))
    arguments = {"shape": (1, 4, 6), "num_valid": 1, "num_test": 2}
    in_memory = load_images(tmp_path / "images", **arguments)
    on_disk = load_images(tmp_path / "images", **arguments, decoded=str(tmp_path / "decoded"))
    for one, other in zip(in_memory, on_disk, strict=True):
        assert torch.equal(one.x, values(other))
    assert [isinstance(split.x, OnDisk) for split in on_disk] == [True, False, False]
    (file,) = (tmp_path / "decoded").glob("*.npy")
    made = file.stat().st_mtime_ns
    load_images(tmp_path / "images", **arguments, decoded=str(tmp_path / "decoded"))
    assert file.stat().st_mtime_ns == made
    save_image(tmp_path / "images" / "0.png", np.full((4, 6), 200))
    changed = load_images(tmp_path / "images", **arguments, decoded=str(tmp_path / "decoded"))
    in_memory = load_images(tmp_path / "images", **arguments)
    assert torch.equal(torch.cat([values(s) for s in changed]), torch.cat([s.x for s in in_memory]))
    assert len(list((tmp_path / "decoded").glob("*.npy"))) == 2
    assert not list((tmp_path / "decoded").glob("*.part"))


def test_unwritable_decoded_folder_is_named(tmp_path):
    save_image(tmp_path / "images" / "a.png", np.zeros((4, 6)))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"dataset.source.decoded: cannot write"):
        load_images(tmp_path / "images", shape=(1, 4, 6), decoded=str(tmp_path / "file"))
