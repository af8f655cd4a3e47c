import pytest

from dgm_run.report.curves import choose_range, choose_ticks, collect_curves, format_ticks
from dgm_run.report.groups import group_runs
from dgm_run.report.runs import collect_runs
from tests.support import folders


def test_curves_are_collected_by_data_set(tmp_path):
    folders.sweep(tmp_path)
    (tmp_path / "3" / "metrics.jsonl").write_text("")  # a run without a curve
    ((key, lines),) = collect_curves(group_runs(collect_runs(tmp_path))).items()
    assert key == ("valid/elbo", "digits")
    assert [line.name for line in lines] == ["prior=StandardPrior"] * 2 + ["prior=VampPrior"]
    assert lines[0][1:] == ([1.0, 2.0, 3.0], [-3.0, -2.0, -1.5], "prior=StandardPrior")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-22.34, -21.78, ["-22.2", "-22.0", "-21.8"]),
        (0, 392, ["0", "100", "200", "300"]),
        (0.013, 0.0192, ["0.014", "0.016", "0.018"]),
        (-3e7, 1e7, ["-3e+07", "-2e+07", "-1e+07", "0", "1e+07"]),
        (-0.25, 0.25, ["-0.2", "-0.1", "0.0", "0.1", "0.2"]),
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert format_ticks(choose_ticks(low, high)) == ticks


@pytest.mark.parametrize(("value", "low", "high"), [(5e-4, 4.5e-4, 5.5e-4), (-2.0, -2.2, -1.8), (0.0, -0.5, 0.5)])
def test_constant_has_a_range_of_its_size(value, low, high):
    assert choose_range([[value] * 3]) == pytest.approx((low, high))
