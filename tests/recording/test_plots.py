import numpy as np
import torch

from dgm_run.recording.plots import plot_curves, plot_histograms, plot_points


def colours(picture):
    return {tuple(pixel) for pixel in picture.reshape(-1, 3)}


def test_plots_give_each_set_a_colour():
    torch.manual_seed(0)
    one = plot_histograms({"data": torch.randn(500)}, "log p(x)")
    two = plot_histograms({"data": torch.randn(500), "other": torch.randn(500) + 3}, "log p(x)")
    assert one.dtype == np.uint8
    assert one.shape == two.shape == (480, 768, 3)
    orange = (255, 127, 14)
    assert orange not in colours(one)
    assert orange in colours(two)
    x = torch.linspace(0, 1, 10)
    line = plot_curves({"a": (x, x), "b": (x, 1 - x)}, "x", "y")
    assert {orange, (31, 119, 180)} <= colours(line)


def test_one_value_for_all_is_no_trouble():
    assert plot_histograms({"black": torch.full((5,), -3.0)}, "log p(x)").std() > 0


def test_values_that_not_finite_left_out():
    picture = plot_histograms(
        {"a": torch.tensor([0.0, 1.0, -torch.inf, torch.nan]), "b": torch.tensor([torch.nan])}, "x"
    )
    assert len(colours(picture)) > 2
    assert plot_histograms({"a": torch.tensor([torch.nan])}, "x").shape == picture.shape


def test_first_set_determines_the_axes():
    data = torch.rand(50, 2)
    alone = plot_points({"data": data})
    assert (plot_points({"data": data, "samples": data + 100})[:400, :600] == alone[:400, :600]).mean() > 0.9
    both = plot_points({"data": data, "samples": data.flip(0) * 0.5})
    assert any(red > 1.3 * blue for red, _, blue in colours(both))
    assert not any(red > 1.3 * blue for red, _, blue in colours(alone))
