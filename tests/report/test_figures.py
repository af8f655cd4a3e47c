import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from dgm_run.report.comparison import compare_runs
from dgm_run.report.curves import Line
from dgm_run.report.figures import draw_curves, draw_differences, draw_figures, draw_pictures
from tests.support import folders


def texts_of(svg):
    return [text.strip() for each in ElementTree.fromstring(svg).iter() for text in each.itertext() if text.strip()]


def test_all_figures_are_drawn(tmp_path):
    folders.sweep(tmp_path)
    comparison = compare_runs(tmp_path)
    figures = draw_figures(comparison, "svg")
    assert list(figures) == ["curves_valid_elbo_digits", "differences_log_likelihood_digits", "samples"]
    assert {"epoch", "valid/elbo", "prior=VampPrior"} <= set(texts_of(figures["curves_valid_elbo_digits"]))
    assert "prior=StandardPrior" in texts_of(figures["differences_log_likelihood_digits"])
    assert figures == draw_figures(comparison, "svg")  # equal runs give equal files
    pdf = draw_figures(comparison, "pdf")
    assert all(content.startswith(b"%PDF-") for content in pdf.values())
    assert b"CreationDate" not in pdf["samples"]


def test_curves_of_a_configuration_share_a_colour():
    lines = [Line(name, [1.0, 2.0], [-3.0, end]) for name, end in (("A", -2.0), ("A", -2.1), ("B", -1.0))]
    (axes,) = draw_curves("valid/elbo", lines).axes
    colours = [line.get_color() for line in axes.lines]
    assert colours[0] == colours[1] != colours[2]
    assert [list(line.get_ydata()) for line in axes.lines] == [[-3.0, -2.0], [-3.0, -2.1], [-3.0, -1.0]]


def test_differences_are_drawn_with_intervals(tmp_path):
    folders.sweep(tmp_path)
    ((spec, rows),) = compare_runs(tmp_path).tables
    figure = draw_differences(spec, rows)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["prior=VampPrior", "prior=StandardPrior"]
    mean, low, high, _ = rows[1].difference
    interval, dot = axes.lines[-2:]
    assert list(interval.get_xdata()) == [low, high]
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([mean], [1])
    assert figure.get_supxlabel() == "difference of log_likelihood to the best configuration, nats (95% for all pairs)"


def test_pictures_keep_their_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    figure = draw_pictures([("prior=$a, seed=1", tmp_path / "a.png"), ("b", tmp_path / "b.png")])
    first, second = figure.axes
    assert first.get_title() == "prior=$a,\nseed=1"
    assert np.array_equal(first.images[0].get_array(), pixels)
    assert not second.images
    assert "b.png" in second.texts[0].get_text()


@pytest.mark.parametrize("name", ["a/b", "$x$", "ü & <b>"])
def test_odd_names_give_files(tmp_path, name):
    for prior in (name, "B"):
        folders.write(tmp_path / str(len(prior)), folders.config(prior), [folders.estimate(-3.0, name)])
    figures = draw_figures(compare_runs(tmp_path), "svg")
    assert all(re.fullmatch(r"[\w.-]+", each) for each in figures)
    assert f"prior={name}" in texts_of(figures["curves_valid_elbo_digits"])
