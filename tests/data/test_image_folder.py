from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_run.data.image_folder import ImageFolder
from dgm_run.errors import DataError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def load(folder, shape=(3, 4, 6), num_valid=0, num_test=0, split_seed=0):
    return ImageFolder(str(folder), shape, num_valid, num_test, split_seed, None)()


def test_pixels_keep_their_place_and_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3))
    save(tmp_path / "a.png", pixels)
    x = load(tmp_path).train.x
    assert x.dtype == torch.uint8
    assert np.array_equal(x[0], pixels.transpose(2, 0, 1))


def test_grey_images_have_one_channel_and_colour_is_turned_grey(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (4, 6))
    save(tmp_path / "a.png", grey)
    save(tmp_path / "b.png", np.stack([grey] * 3, axis=2))
    x = load(tmp_path, shape=(1, 4, 6)).train.x
    assert np.array_equal(x[0, 0], grey)
    assert np.array_equal(x[1, 0], grey)


def test_images_are_scaled_to_the_shape(tmp_path):
    halves = np.zeros((40, 60))
    halves[:, 30:] = 255
    save(tmp_path / "a.png", halves)
    image = load(tmp_path).train.x[0, 0].int()
    assert image.shape == (4, 6)
    assert image[:, :2].max() < 10
    assert image[:, 4:].min() > 245


def test_a_photograph_taken_sideways_stands_upright(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load(tmp_path, shape=(3, 6, 4)).train.x[0], np.rot90(pixels, -1).transpose(2, 0, 1))


def test_all_folders_below_are_searched_and_other_files_ignored(tmp_path):
    for number, name in enumerate(["a.png", "b/c.JPG", "b/d/e.bmp", "f.gif"]):
        save(tmp_path / name, np.full((4, 6), 10 * number))
    (tmp_path / "notes.txt").write_text("no image")
    assert sorted(load(tmp_path).train.x[:, 0, 0, 0].tolist()) == [0, 10, 20, 30]


def test_the_split_depends_on_names_and_seed_alone(tmp_path, monkeypatch):
    for number in range(20):
        save(tmp_path / f"{number % 3}/{number:02}.png", np.full((4, 6), number))
    first, other = (load(tmp_path, num_valid=4, num_test=6, split_seed=seed) for seed in (0, 1))
    listing = list(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "rglob", lambda *_: reversed(listing))
    second = load(tmp_path, num_valid=4, num_test=6)
    assert [len(split.x) for split in first] == [10, 4, 6]
    assert sorted(torch.cat([split.x[:, 0, 0, 0] for split in first]).tolist()) == list(range(20))
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first.test.x, other.test.x)


@pytest.mark.parametrize("content", [b"", b"<html>\n</html>"])
def test_an_unreadable_image_is_named_in_one_line(tmp_path, content):
    save(tmp_path / "a.png", np.zeros((4, 6)))
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.png: cannot be read as an image") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_truncated_image_is_named(tmp_path, suffix):
    path = tmp_path / f"bad.{suffix}"
    save(path, np.random.default_rng(0).integers(0, 256, (40, 60)))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=f"bad.{suffix}: cannot be read as an image"):
        load(tmp_path)


def test_an_image_of_sixteen_bits_is_refused_and_not_clipped(tmp_path):
    Image.fromarray(np.full((4, 6), 5000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep.png: has more than 8 bits"):
        load(tmp_path)


def test_a_folder_without_images_or_no_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: holds no image"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder; set dataset.source.path"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("shape", [(28, 28), (2, 28, 28), (784,)])
def test_a_shape_that_is_no_image_is_refused_at_construction(shape):
    with pytest.raises(ValueError, match=r"images are \[1, H, W\]"):
        ImageFolder("somewhere", shape, 0, 0, 0, None)
