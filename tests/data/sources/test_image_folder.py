import os

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_run.data.sources.image_folder import ImageFolder
from dgm_run.errors import DataError
from tests.support.images import SETTINGS, draw, load, save, transparent


def test_all_folders_below_are_searched_and_other_files_ignored(tmp_path):
    for number, name in enumerate(["a.png", "b/c.JPG", "b/d/e.bmp", "f.gif"]):
        save(tmp_path / name, np.full((4, 6), 10 * number))
    (tmp_path / "notes.txt").write_text("no image")
    assert sorted(load(tmp_path).train.x[:, 0, 0, 0].tolist()) == [0, 10, 20, 30]


def test_the_split_depends_on_names_and_seed_alone(tmp_path, monkeypatch):
    for number in range(20):
        save(tmp_path / f"{number % 3}/{number:02}.png", np.full((4, 6), number))
    first, other = (load(tmp_path, num_valid=4, num_test=6, split_seed=seed) for seed in (0, 1))
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: reversed(list(scandir(path))))
    second = load(tmp_path, num_valid=4, num_test=6)
    assert [len(split.x) for split in first] == [10, 4, 6]
    assert sorted(torch.cat([split.x[:, 0, 0, 0] for split in first]).tolist()) == list(range(20))
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.test.x, other.test.x)


def test_more_levels_than_256_are_refused():
    with pytest.raises(ValueError, match="num_levels = 65536: images have at most 256"):
        ImageFolder("somewhere", (1, 4, 4), **(SETTINGS | {"num_levels": 65536}))


def test_hidden_files_and_folders_skipped(tmp_path):
    save(tmp_path / "a.png", draw(4, 6))
    for name in ("._a.png", ".cache/b.png", "__MACOSX/._a.png", "below/__MACOSX/c.png", "below/.d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "Thumbs.db").write_bytes(b"no image")
    (tmp_path / ".DS_Store").write_bytes(b"no image")
    splits = load(tmp_path)
    assert len(splits.train.x) == 1
    assert splits.notes == ("image_folder: 1 files: 5 hidden skipped",)
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"holds no image \(5 hidden skipped\)"):
        load(tmp_path)


def test_a_hidden_folder_can_be_the_root(tmp_path):
    save(tmp_path / ".images" / "a.png", draw(4, 6))
    assert len(load(tmp_path / ".images").train.x) == 1


def test_links_are_followed(tmp_path):
    save(tmp_path / "elsewhere" / "a.png", np.full((4, 6), 10))
    save(tmp_path / "elsewhere" / "deep" / "b.png", np.full((4, 6), 20))
    save(tmp_path / "other" / "file.bin.png", np.full((4, 6), 30))
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "c.png").symlink_to(tmp_path / "other" / "file.bin.png")
    splits = load(root)
    assert sorted(splits.train.x[:, 0, 0, 0].tolist()) == [10, 20, 30]
    assert splits.notes == ()


def test_a_file_reached_twice_is_taken_once(tmp_path):
    save(tmp_path / "a" / "x.png", np.full((4, 6), 10))
    save(tmp_path / "a" / "y.png", np.full((4, 6), 20))
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "z.png").symlink_to(tmp_path / "a" / "x.png")
    splits = load(tmp_path)
    assert sorted(splits.train.x[:, 0, 0, 0].tolist()) == [10, 20]
    assert splits.notes == ("image_folder: 2 files: 2 linked twice and taken once",)


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_in_a_circle_is_refused(tmp_path, target):
    save(tmp_path / "root" / "below" / "a.png", draw(4, 6))
    (tmp_path / "root" / "below" / "link").symlink_to(target)
    root = tmp_path if target == "../.." else tmp_path / "root"
    with pytest.raises(DataError, match=r"below/link: links to .*, which holds the link itself: remove the link"):
        load(root)


@pytest.mark.parametrize("name", ["a.png", "folder"])
def test_a_link_to_nothing_is_named(tmp_path, name):
    save(tmp_path / "x.png", draw(4, 6))
    (tmp_path / name).symlink_to(tmp_path / "gone")
    (tmp_path / "notes.txt").symlink_to(tmp_path / "gone")  # no image, whatever it is
    with pytest.raises(DataError, match=rf"{name}: links to .*gone, which does not exist"):
        load(tmp_path)


def test_a_link_to_itself_is_named(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png: links to .*, which does not exist"):
        load(tmp_path)


def save_classes(folder, sizes):
    """Images whose level is that of their class."""
    for level, (name, size) in enumerate(sizes.items()):
        for number in range(size):
            save(folder / name / f"{number % 2}" / f"{number}.png", np.full((4, 6), level))


def test_folders_are_classes_in_name_order(tmp_path):
    save_classes(tmp_path, {"ant": 5, "bee": 7, "cow": 3})
    (tmp_path / "empty").mkdir()
    splits = load(tmp_path, labels="folders", num_classes=3, num_valid=4, num_test=5)
    for split in splits:
        assert split.y.dtype == torch.int64
        assert torch.equal(split.x[:, 0, 0, 0].long(), split.y)
    assert torch.cat([split.y for split in splits]).bincount().tolist() == [5, 7, 3]
    assert splits.notes == ("image_folder: 3 classes: 0 ant (5), 1 bee (7), 2 cow (3)",)


def test_many_classes_are_named_by_ends(tmp_path):
    save_classes(tmp_path, {f"k{number:02}": 1 for number in range(12)})
    notes = load(tmp_path, labels="folders", num_classes=12).notes
    assert notes == ("image_folder: 12 classes: 0 k00, 1 k01, ..., 11 k11",)


@pytest.mark.parametrize("num_classes", [None, 2, 4])
def test_wrong_number_of_classes_is_refused(tmp_path, num_classes):
    save_classes(tmp_path, {"ant": 5, "bee": 7, "cow": 3})
    message = r"num_classes: .* declared, but .* has 3 folders with images \(0 ant .*\): set dataset.num_classes=3"
    with pytest.raises(DataError, match=message):
        load(tmp_path, labels="folders", num_classes=num_classes)


def test_classes_need_the_setting_of_labels(tmp_path):
    save_classes(tmp_path, {"ant": 5})
    with pytest.raises(DataError, match=r"set dataset.source.labels=folders, or dataset.num_classes=null"):
        load(tmp_path, num_classes=1)


def test_images_outside_classes_are_refused(tmp_path):
    save_classes(tmp_path, {"ant": 5})
    save(tmp_path / "a.png", draw(4, 6))
    with pytest.raises(DataError, match=r"a.png: lies in no folder of a class"):
        load(tmp_path, labels="folders", num_classes=1)


def test_a_file_of_two_classes_is_refused(tmp_path):
    save_classes(tmp_path, {"ant": 2, "bee": 2})
    (tmp_path / "bee" / "more").symlink_to(tmp_path / "ant" / "1")
    with pytest.raises(DataError, match=r"bee/more: it is the same file as .*ant/1, of another class"):
        load(tmp_path, labels="folders", num_classes=2)


def test_decoding_once_gives_the_same_bits(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    transparent("RGBA").save(images / "a.png")
    Image.fromarray(draw(4, 6, dtype=np.uint16)).save(images / "b.png")
    for name in ("c.png", "d.png", "._e.png"):
        save(images / name, draw(9, 5))
    seen = set()
    for settings in ({}, {"fit": "crop"}, {"fit": "pad"}, {"background": 3}, {"num_levels": 9}, {"split_seed": 1}):
        for shape in ((3, 4, 6), (1, 4, 6)):
            arguments = {"shape": shape, "num_valid": 1, "num_test": 1, **settings}
            in_memory = load(images, **arguments)
            for _ in range(2):  # made, and found
                on_disk = load(images, **arguments, decoded=str(tmp_path / "decoded"))
                assert torch.equal(on_disk.train.x.x, in_memory.train.x)
                assert torch.equal(on_disk.valid.x, in_memory.valid.x)
                assert torch.equal(on_disk.test.x, in_memory.test.x)
                assert (on_disk.about, on_disk.notes) == (in_memory.about, in_memory.notes)
            seen.add(str(torch.cat([split.x for split in in_memory]).flatten().tolist()))
    assert len(seen) == 12
    assert len(list((tmp_path / "decoded").glob("*.npy"))) == 12


def test_labels_stay_with_images_on_the_disk(tmp_path):
    save_classes(tmp_path / "images", {"ant": 5, "bee": 7})
    arguments = {"labels": "folders", "num_classes": 2, "num_valid": 2, "num_test": 2}
    splits = load(tmp_path / "images", **arguments, decoded=str(tmp_path / "decoded"))
    assert torch.equal(splits.train.x.x[:, 0, 0, 0].long(), splits.train.y)
    assert torch.equal(splits.test.x[:, 0, 0, 0].long(), splits.test.y)


def test_folder_without_images_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: holds no image"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder; set dataset.source.path"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("shape", [(28, 28), (2, 28, 28), (784,)])
def test_shape_that_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"images are \[1, H, W\]"):
        ImageFolder("somewhere", shape, **SETTINGS)
