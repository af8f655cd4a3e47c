import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from dgm_run.recording.grid_labels import (
    BAR_HEIGHT,
    FONT_SIZE,
    MARGIN,
    add_row_labels,
    add_signed_scale,
    colour_signed,
    draw_labelled_grid,
    label_rows,
)
from dgm_run.recording.image_grid import draw_grid

X = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def read_label(side, text):
    """Returns whether a white strip shows a text in black and nothing else: its darkness is that of the text."""
    strip = Image.new("RGB", side.shape[1::-1], "white")
    font = ImageFont.load_default(FONT_SIZE)
    ImageDraw.Draw(strip).text((strip.width - MARGIN, strip.height / 2), text, "black", font, anchor="rm")
    return np.array_equal(np.asarray(strip), side)


def test_labels_stand_beside_their_rows():
    picture = np.zeros((80, 30, 3), np.uint8)
    labelled = add_row_labels(picture, ["a long label", "b"])
    assert np.array_equal(labelled[:, -30:], picture)
    side = labelled[:, :-30]
    assert read_label(side[:40], "a long label")
    assert read_label(side[40:], "b")


@pytest.mark.parametrize(
    ("name", "num_rows", "labels"),
    [
        ("samples", 8, []),
        ("traversals", 2, ["dimension 0", "dimension 1"]),
        ("by_class", 2, ["class 0", "class 1"]),
        ("reconstructions", 4, ["example", "reconstruction"] * 2),
        ("nearest_neighbours", 3, ["sample", "nearest example"]),
    ],
)
def test_names_imply_labels(name, num_rows, labels):
    assert label_rows(name, num_rows) == labels


def test_only_full_rows_are_labelled():
    for name, num, columns, is_labelled in (
        ("traversals", 16, 8, True),
        ("traversals", 15, 8, False),
        ("reconstructions", 12, 4, False),
        ("samples", 16, 8, False),
    ):
        grid = draw_grid(X[:num], columns)
        drawn = draw_labelled_grid(name, X[:num], columns)
        assert (drawn.shape[1] > grid.shape[1]) == is_labelled
        assert np.array_equal(drawn[:, -grid.shape[1] :], grid)
    drawn = draw_labelled_grid("mine", X, 8, ["both"])
    assert drawn.shape[1] > draw_grid(X, 8).shape[1]


def test_digits_have_four_pixels_a_pixel():
    assert draw_grid(X, 8).shape == (2 * (8 * 4 + 1) + 1, 8 * (8 * 4 + 1) + 1, 3)


def test_signs_have_colours():
    x = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).reshape(1, 1, 1, 5)
    expected = [[0, 0, 1], [0.5, 0.5, 1], [1, 1, 1], [1, 0.5, 0.5], [1, 0, 0]]
    assert colour_signed(x)[0, :, 0].T.tolist() == expected
    colours = torch.rand(2, 3, 4, 4)
    assert colour_signed(colours) is colours


def test_scale_goes_from_minus_to_plus():
    picture = np.zeros((10, 101, 3), np.uint8)
    scaled = add_signed_scale(picture, "max")
    assert np.array_equal(scaled[:10], picture)
    bar = scaled[10 + MARGIN : 10 + MARGIN + BAR_HEIGHT]
    assert bar[0, [0, 50, -1]].tolist() == [[0, 0, 255], [255, 255, 255], [255, 0, 0]]
    assert (bar == bar[:1]).all()
    below = scaled[10 + MARGIN + BAR_HEIGHT :]
    assert below.min() < 100  # the numbers
