import json

from dgm_run.report.groups import group_runs
from dgm_run.report.markdown import render_document
from dgm_run.report.page import render_page
from dgm_run.report.runs import Run, collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders


def test_tables_and_what_has_no_numbers(tmp_path):
    found = group_runs(collect_runs(folders.sweep(tmp_path)))
    text = render_document(found, list(make_tables(found)), [Run(tmp_path / "x", "failed", "a | b\nc")])
    lines = text.splitlines()
    assert lines[0] == "# 2 configurations; runs: 4 finished, 1 failed"
    how = "estimate by importance_sampling (num_samples=5), nats; 4 examples of digits test, binarisation dynamic; "
    assert f"{how}higher is better" in lines
    assert "| prior | value | difference to the best configuration (95% for all pairs) | runs |" in lines
    assert "| VampPrior | -3.950 ± 0.050 (2 runs) |  | 2, 3 |" in lines
    told = "| StandardPrior | -4.950 ± 0.050 (2 runs) | -1.000"
    assert any(line.startswith(told) for line in lines)
    assert lines[-1] == f"- failed: {tmp_path / 'x'}: a \\| b c"


def versions_and_collapse(folder):
    """Two runs of one configuration, of which one has collapsed, by another version of the code."""
    collapsed = folders.estimate(0.01, "kl", warning="the posterior has collapsed")
    folders.write(folder / "a", folders.config(), [folders.estimate(-3.0)])
    other = folders.write(folder / "b", folders.config(seed=1), [folders.estimate(-9.0), collapsed])
    results = json.loads((other / "results.json").read_text())
    results["environment"] = {"dgm_run": "0.2.0", "commit": "abc"}
    (other / "results.json").write_text(json.dumps(results))
    return group_runs(collect_runs(folder))


def test_collapse_and_versions_are_shown(tmp_path):
    found = versions_and_collapse(tmp_path)
    text = render_document(found, list(make_tables(found)), [])
    assert "Runs of different versions: 1 by dgm_run 0.1.0; 1 by dgm_run 0.2.0, commit abc." in text
    assert "(2 runs) | 1 of 2 collapsed |" in text
    assert "## Warnings\n\n- b: kl: the posterior has collapsed" in text
    html = render_page("x", found, list(make_tables(found)), [])
    assert "<p>Runs of different versions: 1 by dgm_run 0.1.0; 1 by dgm_run 0.2.0, commit abc.</p>" in html
    assert '<td data-by="1 of 2 collapsed">' in html


def test_text_of_a_run_is_escaped(tmp_path):
    row = folders.estimate(-3.0, warning="<img src=x onerror=alert(1)> & `code` | cell")
    folders.write(tmp_path / "a", folders.config(), [row])
    found = group_runs(collect_runs(tmp_path))
    text = render_document(found, list(make_tables(found)), [])
    assert "log_likelihood: &lt;img src=x onerror=alert(1)> &amp; 'code' \\| cell" in text
    assert "<img" not in text
