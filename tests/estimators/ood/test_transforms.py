import pytest
import torch

from dgm_run.estimators.ood.transforms import NOISE, TRANSFORMS, is_binary

GREY = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(5))
BITS = (GREY > 0.5).float()


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("x", [GREY, BITS], ids=["grey", "binary"])
def test_images_stay_images_of_their_kind(name, x):
    before = x.clone()
    made = TRANSFORMS[name](x)
    assert made.shape == x.shape
    assert ((made >= 0) & (made <= 1)).all()
    assert is_binary(x) <= is_binary(made)
    assert torch.equal(x, before)
    assert not torch.equal(made, x)


def test_each_does_what_it_is_called():
    make = {name: function(GREY) for name, function in TRANSFORMS.items()}
    assert not make["black"].any()
    torch.testing.assert_close(make["half_contrast"], GREY / 2)
    torch.testing.assert_close(make["inverted"] + GREY, torch.ones_like(GREY))
    assert torch.equal(make["rotated"][0, 0, :, 0], GREY[0, 0, 0].flip(0))
    assert torch.equal(make["mirrored"][0, 0, 1], GREY[0, 0, 1].flip(0))
    assert torch.equal(make["shuffled"].flatten(1).sort().values, GREY.flatten(1).sort().values)
    assert (make["noisy"] - GREY).std().item() == pytest.approx(NOISE, rel=0.15)
    assert abs(torch.corrcoef(torch.stack([make["noise"].flatten(), GREY.flatten()]))[0, 1]) < 0.15


def test_images_share_the_pixel_order():
    made = TRANSFORMS["shuffled"](torch.arange(16.0).view(1, 1, 4, 4).expand(3, 1, 4, 4))
    assert (made == made[0]).all()


def test_binary_pixels_drop_and_flip():
    torch.manual_seed(0)
    x = torch.ones(200, 1, 10, 10)
    assert TRANSFORMS["half_contrast"](x).mean().item() == pytest.approx(0.5, abs=0.02)
    assert TRANSFORMS["noisy"](x).mean().item() == pytest.approx(1 - NOISE, abs=0.01)
    assert TRANSFORMS["rotated"](torch.eye(3)[:2].view(1, 1, 2, 3)).shape == (1, 1, 2, 3)
