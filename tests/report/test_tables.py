import json

import pytest

from dgm_run.report.groups import find_varying_settings, group_runs
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders


def read_tables(folder):
    return list(make_tables(group_runs(collect_runs(folder))))


def test_best_is_first_with_its_spread(tmp_path):
    ((way, rows),) = read_tables(folders.sweep(tmp_path))
    assert (way.quantity, way.estimator, way.unit, way.better) == (
        "log_likelihood",
        "importance_sampling",
        "nats",
        "higher",
    )
    best, other = rows
    assert best.group.name == "prior=VampPrior"
    assert best.mean == pytest.approx(-4 + 0.05)
    assert best.stderr == pytest.approx(0.05)  # 0.1 apart
    assert best.format_number() == "-3.950 ± 0.050 (2 runs)"
    assert best.difference == ""
    assert other.difference.mean == pytest.approx(-1)
    assert find_varying_settings([row.group for row in rows]) == ["prior"]


def test_published_numbers_match_quantities(tmp_path):
    paper = {"values": {"log_likelihood": -84.5, "elbo": -86.0}, "source": "A paper"}
    rows = [folders.estimate(-3.0), folders.estimate(-4.0, "elbo"), folders.estimate(1.0, "kl")]
    folders.write(tmp_path, folders.config(), rows, published=paper)
    beside = {way.quantity: row.published for way, (row,) in read_tables(tmp_path)}
    assert beside == {"log_likelihood": (-84.5, "A paper"), "elbo": (-86.0, "A paper"), "kl": None}


def test_tables_state_differing_data(tmp_path):
    for seed in (0, 1):
        node = folders.config(dataset__source={"split_seed": seed})
        folders.write(tmp_path / str(seed), node, [folders.estimate(-3.0)])
    described = [way.describe() for way, _ in read_tables(tmp_path)]
    assert "dataset.source.split_seed=0" in described[0]
    assert "dataset.source.split_seed=1" in described[1]


def test_methods_are_not_ranked_together(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config("VampPrior"), [folders.estimate(-2.0, settings={"num_samples": 9})])
    folders.write(tmp_path / "c", folders.config("Other"), [folders.estimate(-2.0, kind="lower_bound")])
    folders.write(tmp_path / "d", folders.config("Few"), [folders.estimate(-2.0, num_examples=2)])
    node = folders.config("Elsewhere", dataset__source={"split_seed": 1})
    folders.write(tmp_path / "e", node, [folders.estimate(-2.0)])
    assert [len(rows) for _, rows in read_tables(tmp_path)] == [1] * 5


def test_augmented_runs_are_ranked_together(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    flip = {"flip": {"_target_": "dgm_run.data.augmentations.Flip", "axis": "both"}}
    folder = folders.write(tmp_path / "b", folders.config(dataset__augment=flip), [folders.estimate(-2.0)])
    results = json.loads((folder / "results.json").read_text())
    results["preprocessing"] += "; training images augmented by flip (axis both)"
    (folder / "results.json").write_text(json.dumps(results))
    ((spec, rows),) = read_tables(tmp_path)
    assert spec.preprocessing == "dynamic"
    assert [row.group.settings["dataset.augment.flip"] for row in rows] == ["Flip", "none"]


def test_evaluations_of_one_run_count_once(tmp_path):
    rows = [folders.estimate(-3.0, num_examples=10), folders.estimate(-3.5, num_examples=40)]
    folders.write(tmp_path / "a", folders.config(), rows)
    assert sorted(row.format_number() for _, (row,) in read_tables(tmp_path)) == ["-3.000 ± 0.100", "-3.500 ± 0.100"]


def test_lower_is_better_and_main_first(tmp_path):
    paper = {"values": {"error": 1.5}, "source": "A paper"}
    for name, prior, error in (("a", "StandardPrior", 3.0), ("b", "VampPrior", 2.0)):
        rows = [folders.estimate(error, "error", unit="%"), folders.estimate(-3.0), folders.estimate(error, "kl")]
        rows += [folders.estimate(error, "frechet_random"), folders.estimate(error, "mmd_p_value", train_reference=0.5)]
        folders.write(tmp_path / name, folders.config(prior), rows, published=paper)
    ways = {way.quantity: (way, rows) for way, rows in read_tables(tmp_path)}
    assert list(ways) == ["log_likelihood", "error", "frechet_random", "kl", "mmd_p_value"]
    assert [row.mean for row in ways["error"][1]] == [2.0, 3.0]
    assert [row.mean for row in ways["frechet_random"][1]] == [2.0, 3.0]
    assert ways["error"][1][0].published == (1.5, "A paper")
    assert ways["log_likelihood"][1][0].published is None
    assert ways["error"][1][0].format_number() == "2.000 ± 0.100"
    for quantity in ("kl", "mmd_p_value"):  # no end of them is the better one
        way, rows = ways[quantity]
        assert way.better is None
        assert [row.mean for row in rows] == [3.0, 2.0]
        assert [row.difference for row in rows] == ["", ""]
    assert ways["mmd_p_value"][1][0].train_reference == 0.5


OTHER = {"name": "digits", "preprocessing": "dynamic", "settings": {"dataset.name": "digits"}}


def test_other_data_stand_apart(tmp_path):
    paper = {"values": {"log_likelihood": -84.5}, "source": "A paper"}
    rows = [folders.estimate(-3.0), folders.estimate(-9.0, dataset=OTHER)]
    folders.write(tmp_path / "a", folders.config(), rows, published=paper)
    folders.write(tmp_path / "b", folders.config("VampPrior"), [folders.estimate(-8.0, dataset=OTHER)])
    (own, (first,)), (other, others) = read_tables(tmp_path)
    assert (own.is_other, first.published) == (False, (-84.5, "A paper"))
    assert "not trained on" not in own.describe()
    assert (other.is_other, [row.published for row in others]) == (True, [None, None])
    assert [row.mean for row in others] == [-8.0, -9.0]
    assert "digits test, not trained on, binarisation dynamic" in other.describe()
    assert other.data_name == "digits, not trained on"
