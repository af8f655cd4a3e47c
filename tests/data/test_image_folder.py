import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_run.data.image_folder import ImageFolder
from dgm_run.errors import DataError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


SETTINGS = {
    "num_levels": 256,
    "num_classes": None,
    "labels": None,
    "fit": "stretch",
    "background": 255,
    "num_valid": 0,
    "num_test": 0,
    "split_seed": 0,
    "decoded": None,
}


def load(folder, shape=(3, 4, 6), **settings):
    return ImageFolder(str(folder), shape, **(SETTINGS | settings))()


def draw(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def write_png(path, depth, colour_type, rows, key=None):
    """A file of a kind that PIL does not write: grey (0) or colour (2) with a key for what is transparent."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = 8 * len(rows[0]) // depth // (3 if colour_type == 2 else 1)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    transparency = b"" if key is None else chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparency + data + chunk(b"IEND", b""))


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


def test_sixteen_bits_stand_upright_too(tmp_path):
    deep = draw(4, 6, dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(deep).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load(tmp_path, shape=(1, 6, 4)).train.x[0, 0], np.rint(np.rot90(deep, -1) / 257))


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


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
@pytest.mark.parametrize("num_levels", [256, 16, 2])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix, num_levels):
    deep = draw(4, 6, dtype=np.uint16)
    deep[0, :4] = 0, 65535, 300, 128
    Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
    splits = load(tmp_path, shape=(1, 4, 6), num_levels=num_levels)
    assert np.array_equal(splits.train.x[0, 0], np.rint(deep / 65535 * (num_levels - 1)))
    assert splits.notes == ("image_folder: 1 files: 1 scaled from 16 bits",)
    assert splits.about == "scaled from 16 bits"


def test_colours_of_sixteen_bits_are_said(tmp_path):
    write_png(tmp_path / "deep.png", 16, 2, [struct.pack(">3H", 65535, 0x8001, 255)])
    splits = load(tmp_path, shape=(3, 1, 1))
    assert splits.train.x.flatten().tolist() == [255, 128, 0]
    assert splits.notes == ("image_folder: 1 files: 1 read to the upper 8 of 16 bits",)


def test_floats_are_scaled_from_the_unit_interval(tmp_path):
    values = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert np.array_equal(load(tmp_path, shape=(1, 4, 6)).train.x[0, 0], np.rint(values * 255))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.float32([[0, 255]]), "a.tif: has floats from 0 to 255; scale them to"),
        (np.float32([[0, np.nan]]), "a.tif: has floats from nan to nan"),
        (np.int32([[-5, 70000]]), "a.tif: has integers from -5 to 70000 of no known range; convert"),
    ],
)
def test_values_of_no_known_range_are_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_more_levels_than_256_are_refused():
    with pytest.raises(ValueError, match="num_levels = 65536: images have at most 256"):
        ImageFolder("somewhere", (1, 4, 4), **(SETTINGS | {"num_levels": 65536}))


def transparent(mode):
    """An image of 4 x 6 black pixels, the left half of which is transparent."""
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[:, :3] = 0
    image = Image.fromarray(np.dstack([np.zeros((4, 6, 3), np.uint8), alpha]))
    if mode != "P":
        return image.convert(mode)
    palette = Image.fromarray((alpha == 0).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    palette.info["transparency"] = 1
    return palette


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("PA", "tif"), ("RGBA", "webp"), ("LA", "tif")],
)
@pytest.mark.parametrize(("background", "seen"), [(255, [255] * 3), (7, [7] * 3), ([200, 100, 0], [200, 100, 0])])
def test_transparent_pixels_show_the_background(tmp_path, mode, suffix, background, seen):
    options = {"lossless": True} if suffix == "webp" else {}
    transparent(mode).save(tmp_path / f"a.{suffix}", **options)
    splits = load(tmp_path, background=background)
    assert splits.train.x[0, :, :, 0].T.tolist() == [seen] * 4
    assert splits.train.x[0, :, :, 5].T.tolist() == [[0, 0, 0]] * 4
    assert splits.notes == (f"image_folder: 1 files: 1 composed on background {background}",)
    assert splits.about == f"composed on background {background}"


def test_half_transparent_pixels_are_mixed(tmp_path):
    Image.new("LA", (6, 4), (100, 51)).save(tmp_path / "a.png")
    assert load(tmp_path, shape=(1, 4, 6)).train.x.unique().tolist() == [round(0.2 * 100 + 0.8 * 255)]


def test_opaque_alpha_channels_change_nothing(tmp_path):
    pixels = draw(4, 6, 4)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    splits = load(tmp_path)
    assert np.array_equal(splits.train.x[0], pixels[..., :3].transpose(2, 0, 1))
    assert (splits.about, splits.notes) == ("", ())


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "key"),
    [
        (8, 0, bytes([200, 0]), [200]),
        (4, 0, bytes([0x30]), [3]),
        (2, 0, bytes([0b10000000]), [2]),  # four pixels
        (1, 0, bytes([0b10000000]), [1]),  # eight
        (16, 0, struct.pack(">2H", 300, 0), [300]),
        (8, 2, bytes([4, 5, 6, 0, 0, 0]), [4, 5, 6]),
    ],
)
def test_a_key_of_transparency_is_kept(tmp_path, depth, colour_type, row, key):
    write_png(tmp_path / "a.png", depth, colour_type, [row], key)
    with Image.open(tmp_path / "a.png") as image:
        width = image.width
    assert load(tmp_path, shape=(3, 1, width), background=77).train.x[0, :, 0, 0].tolist() == [77] * 3
    assert load(tmp_path, shape=(3, 1, width), background=77).train.x[0, :, 0, 1].tolist() == [0] * 3


def test_a_deep_colour_as_key_is_refused(tmp_path):
    write_png(tmp_path / "a.png", 16, 2, [struct.pack(">3H", 1, 2, 3)], [1, 2, 3])
    with pytest.raises(DataError, match=r"a.png: has a transparent colour of 16 bits"):
        load(tmp_path)


@pytest.mark.parametrize("background", [-1, 256, [1, 2], [1, 2, 300]])
def test_backgrounds_must_be_colours(background):
    with pytest.raises(ValueError, match=r"background = .* must be a grey level in 0 .. 255, or three"):
        ImageFolder("somewhere", (1, 4, 4), **(SETTINGS | {"background": background}))


@pytest.mark.parametrize("turned", [False, True])
def test_fits_to_another_aspect_ratio(tmp_path, turned):
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, 4:12] = 200  # the square in the middle
    save(tmp_path / "a.png", pixels.T if turned else pixels)

    def fit(**settings):
        splits = load(tmp_path, shape=(1, 8, 8), **settings)
        return splits.train.x[0, 0].T if turned else splits.train.x[0, 0], splits.notes[0], splits.about

    stretched, note, about = fit()
    assert stretched[:, 3:5].min() > 180
    assert stretched[:, :2].max() < 20
    assert note == "image_folder: 1 files: 1 stretched to another aspect ratio"
    assert about == "stretched to another aspect ratio"
    cropped, note, about = fit(fit="crop")
    assert (cropped == 200).all()
    assert note == "image_folder: 1 files: 1 cropped at the centre"
    padded, note, about = fit(fit="pad", background=9)
    assert (padded[:2] == 9).all()
    assert (padded[6:] == 9).all()
    assert padded[2:6, 3:5].min() > 180
    assert padded[2:6, 0].max() < 20
    assert about == "padded with background 9"


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [(40, 60), (401, 600), (4, 6)])
def test_the_same_aspect_ratio_is_only_scaled(tmp_path, fit, size):
    save(tmp_path / "a.png", draw(*size))
    splits = load(tmp_path, fit=fit)
    assert torch.equal(splits.train.x, load(tmp_path).train.x)
    assert splits.notes == ()


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_line_of_pixels_fits(tmp_path, fit):
    save(tmp_path / "a.png", draw(1, 200))
    save(tmp_path / "b.png", draw(200, 1))
    assert load(tmp_path, fit=fit).train.x.shape == (2, 3, 4, 6)


def test_padding_of_a_grey_image_is_grey(tmp_path):
    save(tmp_path / "a.png", np.zeros((4, 4)))
    x = load(tmp_path, shape=(1, 4, 6), fit="pad", background=[255, 0, 0]).train.x
    assert x[0, 0, :, 0].tolist() == [76] * 4  # 0.299 of 255, as PIL turns colours grey


def test_cmyk_images_are_read(tmp_path):
    Image.new("RGB", (6, 4), (200, 100, 50)).convert("CMYK").save(tmp_path / "a.tif")
    assert load(tmp_path).train.x[0, :, 0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_the_first_frame_is_taken(tmp_path, suffix):
    first, second = (Image.new("L", (6, 4), level).convert("RGB") for level in (50, 200))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
    splits = load(tmp_path)
    assert (splits.train.x.int() - 50).abs().max() <= 1
    assert splits.notes == ("image_folder: 1 files: 1 read as the first of several frames",)


def test_hidden_files_and_folders_are_skipped(tmp_path):
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


def test_many_classes_are_named_by_their_ends(tmp_path):
    save_classes(tmp_path, {f"k{number:02}": 1 for number in range(12)})
    notes = load(tmp_path, labels="folders", num_classes=12).notes
    assert notes == ("image_folder: 12 classes: 0 k00, 1 k01, ..., 11 k11",)


@pytest.mark.parametrize("num_classes", [None, 2, 4])
def test_a_wrong_number_of_classes_is_refused(tmp_path, num_classes):
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
    with pytest.raises(DataError, match=r"bee/more: is .*ant/1 too, which has another class"):
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


def test_a_folder_without_images_or_no_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=rf"{tmp_path}: holds no image"):
        load(tmp_path)
    with pytest.raises(DataError, match=r"nowhere: no such folder; set dataset.source.path"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("shape", [(28, 28), (2, 28, 28), (784,)])
def test_a_shape_that_is_no_image_is_refused_at_construction(shape):
    with pytest.raises(ValueError, match=r"images are \[1, H, W\]"):
        ImageFolder("somewhere", shape, **SETTINGS)
