import pytest
import torch

from dgm_run.data.binarize import dequantize, sample, threshold, to_intensities


@pytest.fixture
def levels():
    return torch.arange(17, dtype=torch.uint8).repeat(20_000, 1)  # (20000, 17), 17 levels


def test_intensities_run_from_exactly_zero_to_exactly_one():
    values = to_intensities(torch.tensor([0, 51, 255], dtype=torch.uint8), 256)
    torch.testing.assert_close(values, torch.tensor([0.0, 0.2, 1.0]), rtol=0, atol=1e-7)
    assert values[0] == 0
    assert values[2] == 1


@pytest.mark.parametrize(("num_levels", "first"), [(256, 128), (17, 8), (2, 1)])
def test_threshold_is_intensity_of_one_half(num_levels, first):
    levels = torch.arange(num_levels).to(torch.uint8)
    assert torch.equal(threshold(levels, num_levels), (levels >= first).to(torch.uint8))


def test_sampled_pixels_are_binary_with_their_intensity_as_mean(levels):
    pixels = sample(levels, 17)
    assert pixels.dtype == torch.uint8
    assert pixels.unique().tolist() == [0, 1]
    p = torch.arange(17) / 16
    z = (pixels.double().mean(0) - p) / (p * (1 - p) / 20_000).sqrt().clamp(min=1e-9)
    assert z.abs().max() < 5


def test_black_never_turns_on_and_white_never_off(levels):
    pixels = sample(levels, 17)
    assert pixels[:, 0].max() == 0
    assert pixels[:, 16].min() == 1


def test_a_generator_fixes_the_draw(levels):
    draws = [sample(levels, 17, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_dequantised_values_fill_their_bin(levels):
    noise = 17 * dequantize(levels, 17) - levels  # uniform on [0, 1)
    assert noise.min() > -1e-5
    assert noise.max() < 1 + 1e-5
    assert abs(noise.mean() - 1 / 2) < 0.005
    assert abs(noise.var() - 1 / 12) < 0.001


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_noise_reaches_the_next_level(monkeypatch, dtype):
    highest = 1 - 2.0**-24  # that torch.rand draws
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, highest, dtype=torch.float32))
    monkeypatch.setattr(torch, "get_default_dtype", lambda: dtype)
    for num_levels in range(2, 257):
        levels = torch.arange(num_levels).to(torch.uint8)
        values = dequantize(levels, num_levels)
        assert values.dtype == dtype
        # levels and 24 bits of a value multiply exactly in double precision
        assert ((values.double() * num_levels).floor() == levels).all()
        assert ((values * num_levels).floor() == levels).all()


@pytest.mark.parametrize("num_levels", [257, 1000, 1024, 4095, 65_535, 65_536])
def test_noise_of_many_levels_stays_below(monkeypatch, num_levels):
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, 1 - 2.0**-24))
    levels = torch.arange(num_levels, dtype=torch.int32)
    values = dequantize(levels, num_levels)
    assert ((values.double() * num_levels).floor() == levels).all()
    assert ((values * num_levels).floor() == levels).all()


def test_noisy_values_stay_on_their_level():
    torch.manual_seed(0)
    values = dequantize(torch.full((1_000_000,), 255, dtype=torch.uint8), 256)
    assert values.max() < 1
    assert values.min() >= 255 / 256
