import math

import pytest

from dgm_run.report.cells import Span, make_columns, make_number_cell
from dgm_run.report.groups import Group, group_runs
from dgm_run.report.rows import Row
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders


def of(folder):
    ((_, rows),) = make_tables(group_runs(collect_runs(folder)))
    return make_columns(rows)


def test_columns_of_a_table(tmp_path):
    found = of(folders.sweep(tmp_path))
    assert list(found) == ["prior", "value", "difference to the best configuration (95% for all pairs)", "runs"]
    assert [cell.shown for cell in found["prior"]] == ["VampPrior", "StandardPrior"]
    assert [cell.shown for cell in found["runs"]] == ["2, 3", "0, 1"]
    best, other = found["value"]
    assert other.sort_key == pytest.approx(-4.95)
    assert best.span == pytest.approx((-4.0, -3.9, None), nan_ok=True)


def test_a_single_run_shows_its_interval(tmp_path):
    for seed, name in enumerate(("A", "B", "B")):
        interval = [-3.1 - seed, -2.5]
        folders.write(tmp_path / str(seed), folders.config(name, seed), [folders.estimate(-3.0, interval=interval)])
    found = of(tmp_path)
    shown = {row.shown: cell for row, cell in zip(found["prior"], found["95% interval"], strict=True)}
    assert {name: cell.shown for name, cell in shown.items()} == {"A": "-3.100 to -2.500", "B": ""}
    assert sorted(cell.tip for cell in found["value"]) == ["", "95%: -3.100 to -2.500"]


def test_difference_is_drawn_against_zero(tmp_path):
    for name, value in (("A", -3.0), ("B", -5.0)):
        spread = [0.0, 0.4, -0.4, 0.0] if name == "B" else [0.0] * 4
        values = [value + each for each in spread]
        folders.write(tmp_path / name, folders.config(name), [folders.estimate(value)], values)
    best, other = of(tmp_path)["difference to the best trained model (95% for all pairs)"]
    assert (best.shown, best.span) == ("", None)
    assert other.sort_key == pytest.approx(-2.0)
    half = 3.182446 * math.sqrt(0.32 / 3 / 4)  # Student's t with 3 degrees of freedom
    assert other.span == (pytest.approx(-2.0 - half, abs=1e-4), pytest.approx(-2.0 + half, abs=1e-4), 0.0)


def test_optional_columns_appear_when_filled(tmp_path):
    paper = {"values": {"log_likelihood": -2.5}, "source": "Somebody 2020", "table": 1}
    row = folders.estimate(-3.0, train_reference=-2.0, warning="the posterior has collapsed")
    folders.write(tmp_path / "a", folders.config(), [row], published=paper)
    found = of(tmp_path)
    assert list(found) == ["configuration", "value", "train_reference", "published", "note", "runs"]
    assert (found["train_reference"][0].shown, found["train_reference"][0].sort_key) == ("-2.000", -2.0)
    assert found["published"][0].sort_key == -2.5
    assert found["note"][0].shown == "collapsed"


@pytest.mark.parametrize(("value", "stderr", "span"), [
    (-3.0, 0.5, Span(-3.5, -2.5)), (-3.0, None, None), (math.nan, 0.5, None), (-3.0, math.inf, None),
])  # fmt: skip
def test_number_without_error_is_not_drawn(value, stderr, span):
    row = Row(Group({}, [], [], {}), [{"value": value, "stderr": stderr}], "", None)
    assert make_number_cell(row).span == span
