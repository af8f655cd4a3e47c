import re

from dgm_run.report.cells import Cell, Span
from dgm_run.report.html_table import link_run, make_anchor, render_table


def test_cells_keep_their_order_and_values():
    columns = {"<a>": [Cell("x & y", "x"), Cell("z", "z")], "n": [Cell("1,000", 1000, is_best=True), Cell("-2", -2)]}
    text = render_table(columns, ["first", "second"])
    assert re.findall(r"<th>(.*?)</th>", text) == ["&lt;a&gt;", "n"]
    assert re.findall(r'<tr data-about="(.*?)">', text) == ["first", "second"]
    assert re.findall(r"<td (.*?)>(.*?)</td>", text) == [
        ('data-by="x"', "x &amp; y"), ('data-by="1000" class="number best"', "1,000"),
        ('data-by="z"', "z"), ('data-by="-2" class="number"', "-2"),
    ]  # fmt: skip


def test_long_numbers_may_wrap():
    text = render_table({"n": [Cell("-1.0 (-2.0 to 0.0, 3 runs, 360 examples)", -1.0)]}, ["a"])
    assert 'class="number long"' in text


def test_numbers_are_drawn_on_one_scale():
    cells = [Cell(str(value), value, span=Span(value - 1.0, value + 1.0)) for value in (0.0, 10.0)]
    text = render_table({"n": cells}, ["a", "b"])
    assert [float(x) for x in re.findall(r'cx="([\d.]+)"', text)] == [7.8, 56.2]  # 3 + 58 * (1/12, 11/12)


def test_runs_are_links():
    text = render_table({"runs": [Cell("a, b/<c>", "a, b/<c>", runs=["a", "b/<c>"])]}, ["x"])
    assert f"{link_run('a')}, {link_run('b/<c>')}</td>" in text
    assert f'href="#{make_anchor("b/<c>")}">b/&lt;c&gt;</a>' in text
    assert make_anchor("a") != make_anchor("b")
