import struct

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_run.data.sources.image_folder import ImageFolder
from dgm_run.errors import DataError
from tests.support.images import SETTINGS, draw, load, save, transparent, write_png


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


def test_sideways_photograph_is_rotated(tmp_path):
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


@pytest.mark.parametrize("content", [b"", b"<html>\n</html>"])
def test_unreadable_image_is_named(tmp_path, content):
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


def test_floats_scaled_from_unit_interval(tmp_path):
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
def test_values_of_no_known_range_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", "png"), ("LA", "png"), ("P", "png"), ("P", "gif"), ("PA", "tif"), ("RGBA", "webp"), ("LA", "tif")],
)
@pytest.mark.parametrize(("background", "seen"), [(255, [255] * 3), (7, [7] * 3), ([200, 100, 0], [200, 100, 0])])
def test_transparent_pixels_show_background(tmp_path, mode, suffix, background, seen):
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


def test_opaque_alpha_changes_nothing(tmp_path):
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
def test_same_aspect_ratio_is_only_scaled(tmp_path, fit, size):
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
