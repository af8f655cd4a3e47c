from dgm_run.report.groups import groups
from dgm_run.report.markdown import document
from dgm_run.report.runs import Run, collect
from dgm_run.report.tables import tables
from tests.report import folders


def test_tables_and_what_has_no_numbers(tmp_path):
    found = groups(collect(folders.sweep(tmp_path)))
    text = document(found, list(tables(found)), [Run(tmp_path / "x", "failed", "a | b\nc")])
    lines = text.splitlines()
    assert lines[0] == "# 2 configurations, 4 finished runs"
    assert "estimate by importance_sampling (num_samples=5), nats; digits test, binarisation dynamic" in lines
    assert "| prior | value | difference to the best |" in lines
    assert "| VampPrior | -3.950 ± 0.071 (sd of 2 runs) |  |" in lines
    assert "| StandardPrior | -4.950 ± 0.071 (sd of 2 runs) | -1.000 (-1.160 to -0.840) |" in lines
    assert lines[-1] == f"- failed: `{tmp_path / 'x'}`: a \\| b c"
