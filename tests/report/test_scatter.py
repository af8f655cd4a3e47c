import json
import re
from html import unescape

from dgm_run.report.groups import group_runs
from dgm_run.report.runs import collect_runs
from dgm_run.report.scatter import collect_points, render_scatter
from dgm_run.report.tables import make_tables
from tests.support import folders


def read(folder):
    groups = group_runs(collect_runs(folder))
    return groups, list(make_tables(groups))


def test_points_have_all_numbers_of_their_run(tmp_path):
    rows = [folders.estimate(-3.0), folders.estimate(float("nan"), "elbo"), folders.estimate(4.0, "error", unit="%")]
    folders.write(tmp_path / "a", folders.config("A"), rows)
    other = folders.estimate(-2.0, settings={"num_samples": 50})
    folders.write(tmp_path / "b", folders.config("B"), [folders.estimate(-5.0), other])
    found = {point["run"]: point["values"] for point in collect_points(*read(tmp_path))}
    costs = {"parameters": 1234, "epochs": 3, "training seconds": 1.5}
    second = "log_likelihood, digits: estimate by importance_sampling (num_samples=50), nats, dynamic"
    assert found == {
        "a": {"log_likelihood, digits": -3.0, "error, digits": 4.0, **costs},
        "b": {"log_likelihood, digits": -5.0, second: -2.0, **costs},
    }


def test_plot_offers_every_quantity(tmp_path):
    folders.sweep(tmp_path)
    text = render_scatter(*read(tmp_path))
    names = ["log_likelihood, digits", "parameters", "epochs", "training seconds"]
    assert re.findall(r"<option[^>]*>(.*?)</option>", text) == 2 * names
    assert re.findall(r"<option selected>(.*?)</option>", text) == ["log_likelihood, digits", "parameters"]
    points = json.loads(unescape(re.search(r'data-points="(.*?)"', text)[1]))["points"]
    assert len(points) == 4


def test_quantities_of_most_runs_are_chosen(tmp_path):
    for name, quantities in (("a", ["elbo", "kl"]), ("b", ["kl", "baseline"]), ("c", ["baseline", "kl"])):
        rows = [folders.estimate(-3.0, quantity) for quantity in quantities]
        folders.write(tmp_path / name, folders.config(name), rows)
    text = render_scatter(*read(tmp_path))
    assert re.findall(r"<option selected>(.*?)</option>", text) == ["kl, digits", "baseline, digits"]


def test_one_run_has_no_plot(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    assert render_scatter(*read(tmp_path)) == ""
