import re

import pytest

from dgm_run.report.cells import Span
from dgm_run.report.charts import Line, choose_scale, draw_chart


def test_outlier_curve_flattens_no_other():
    curves = ((-30.0, -25.0, -24.0), (-31.0, -24.0, -22.0), (-1e3, -1e20, -1e28))
    text = draw_chart([Line(f"P{i}", [1.0, 2.0, 3.0], list(curve)) for i, curve in enumerate(curves)])
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end">(-[\d.e+]+)<', text)]
    assert min(ticks) > -100
    heights = [
        [float(point.split(",")[1]) for point in points.split()] for points in re.findall(r'points="([^"]+)"', text)
    ]
    assert max(heights[0]) - min(heights[0]) > 20
    assert len(set(re.findall(r'stroke-width="1.5" stroke="(#\w+)"', text))) == 3


def test_a_curve_cut_at_the_edge_says_so():
    early = [-200.0, -150.0, *(-100.0 - 1 / (i + 1) for i in range(60))]
    text = draw_chart([Line("A", list(map(float, range(len(early)))), early)])
    assert "values beyond, down to -200, are drawn at its edge" in text
    wild = [Line(f"P{i}", [1.0, 2.0], [-3.0, end]) for i, end in enumerate((-2.0, -2.1, 1e6))]
    assert "up to 1e+06" in draw_chart(wild)
    assert "beyond" not in draw_chart([Line("A", [1.0, 2.0], [-3.0, -2.0])])


def test_long_curve_keeps_its_end():
    text = draw_chart([Line("<a>", list(map(float, range(1, 1001))), [0.0] * 999 + [1.0])])
    points = re.search(r'points="([^"]+)"', text)[1].split()
    assert 250 < len(points) < 350
    assert points[-1] != points[-2]
    assert "<a>" not in text
    assert "&lt;a&gt;" in text


def test_scale_holds_spans_and_references():
    numbers = [(-2.0, Span(-2.5, -1.5)), (-1.0, Span(-1.1, -0.9))]
    assert choose_scale(numbers) == (-2.5, -0.9)
    assert choose_scale([(value, span._replace(reference=0.0)) for value, span in numbers]) == (-2.5, 0.0)


def test_outlier_is_drawn_at_the_edge():
    near = [(float(-20 - i), Span(-20.5 - i, -19.5 - i)) for i in range(4)]
    found = choose_scale([*near, (-1e9, Span(-1e9, -1e9)), (1e9, Span(1e9, 1e9))])
    assert found == (-23.5, -19.5)
    low, high = (found.draw(value, Span(value, value)) for value in (-1e9, 1e9))
    assert "circle" not in low + high
    assert low != high


def test_equal_numbers_have_no_scale():
    assert choose_scale([(3.0, Span(3.0, 3.0))] * 3) is None


@pytest.mark.parametrize(("value", "x"), [(0.0, 3.0), (5.0, 32.0), (10.0, 61.0)])
def test_a_number_is_drawn_where_it_lies(value, x):
    found = choose_scale([(0.0, Span(0.0, 0.0)), (10.0, Span(10.0, 10.0))])
    assert f'cx="{x:.1f}"' in found.draw(value, Span(value, value))
    assert f'<path class=reference d="M{x:.1f} 0V10"/>' in found.draw(5.0, Span(5.0, 5.0, reference=value))
