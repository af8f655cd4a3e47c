import numpy as np
import torch

from dgm_run.recording.plots import curves, histograms, scatter


def colours(picture):
    return {tuple(pixel) for pixel in picture.reshape(-1, 3)}


def test_plots_give_each_set_a_colour():
    torch.manual_seed(0)
    one = histograms({"data": torch.randn(500)}, "log p(x)")
    two = histograms({"data": torch.randn(500), "other": torch.randn(500) + 3}, "log p(x)")
    assert one.dtype == np.uint8
    assert one.shape == two.shape == (480, 768, 3)
    orange = (255, 127, 14)
    assert orange not in colours(one)
    assert orange in colours(two)
    x = torch.linspace(0, 1, 10)
    line = curves({"a": (x, x), "b": (x, 1 - x)}, "x", "y")
    assert {orange, (31, 119, 180)} <= colours(line)


def test_one_value_for_all_is_no_trouble():
    assert histograms({"black": torch.full((5,), -3.0)}, "log p(x)").std() > 0


def test_values_that_not_finite_left_out():
    picture = histograms({"a": torch.tensor([0.0, 1.0, -torch.inf, torch.nan]), "b": torch.tensor([torch.nan])}, "x")
    assert len(colours(picture)) > 2
    assert histograms({"a": torch.tensor([torch.nan])}, "x").shape == picture.shape


def test_first_set_determines_the_axes():
    data = torch.rand(50, 2)
    alone = scatter({"data": data})
    assert (scatter({"data": data, "samples": data + 100})[:400, :600] == alone[:400, :600]).mean() > 0.9
    both = scatter({"data": data, "samples": data.flip(0) * 0.5})
    assert any(red > 1.3 * blue for red, _, blue in colours(both))
    assert not any(red > 1.3 * blue for red, _, blue in colours(alone))
