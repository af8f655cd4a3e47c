import io

import numpy as np
import pytest
import torch
from PIL import Image

from dgm_run.recording.image_grid import draw_grid, encode_png, interleave_rows, is_image, save_png

X = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((1, 28, 28), True), ((3, 32, 32), True), ((2, 8, 8), False), ((784,), False), ((28, 28), False)],
)
def test_an_image_has_one_or_three_channels(shape, expected):
    assert is_image(shape) == expected


def test_a_grid_holds_the_images_row_by_row_in_a_grey_frame():
    picture = draw_grid(X, columns=2, pad=1, min_side=1)
    assert picture.dtype == np.uint8
    assert picture.shape == (3 * (4 + 1) + 1, 2 * (6 + 1) + 1, 3)
    expected = np.full_like(picture, 128)
    for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]):
        image = (255 * X[i].numpy().astype(float)).round().transpose(1, 2, 0)
        expected[1 + 5 * row : 5 + 5 * row, 1 + 7 * column : 7 + 7 * column] = image
    assert np.abs(picture.astype(int) - expected.astype(int)).max() <= 1


def test_a_grid_is_about_square():
    assert draw_grid(X, pad=0, min_side=1).shape == (2 * 4, 3 * 6, 3)
    assert draw_grid(X[:4], pad=0, min_side=1).shape == (2 * 4, 2 * 6, 3)


def test_small_images_are_enlarged_by_a_whole_factor():
    picture = draw_grid(X[:1], pad=0, min_side=10)  # the longer side, 6, doubles
    assert picture.shape == (8, 12, 3)
    original = draw_grid(X[:1], pad=0, min_side=1)
    assert (picture == original.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_grey_grids_have_equal_channels():
    picture = draw_grid(X[:, :1], min_side=1)
    assert (picture == picture[..., :1]).all()


def test_grid_clamps_values():
    x = torch.tensor([-1.0, 2.0, torch.nan, torch.inf]).reshape(1, 1, 1, 4).requires_grad_()
    assert draw_grid(x, pad=0, min_side=1)[0, :, 0].tolist() == [0, 255, 0, 255]


def test_pairs_alternate_rows():
    top, bottom = torch.arange(5).reshape(5, 1, 1, 1), 10 + torch.arange(5).reshape(5, 1, 1, 1)
    assert interleave_rows(top, bottom, columns=2).flatten().tolist() == [0, 1, 10, 11, 2, 3, 12, 13, 4, 14]


def test_pairs_need_equal_sizes():
    with pytest.raises(ValueError, match="shorter"):
        interleave_rows(X, X[:2], columns=2)


def test_png_holds_picture_without_loss(tmp_path):
    picture = draw_grid(X)
    assert (np.array(Image.open(io.BytesIO(encode_png(picture)))) == picture).all()
    path = tmp_path / "new" / "folder" / "picture.png"
    save_png(picture, path)
    assert (np.array(Image.open(path)) == picture).all()
