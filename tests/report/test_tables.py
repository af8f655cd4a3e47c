import json

import numpy as np
import pytest
from scipy import stats

from dgm_run.report.groups import groups
from dgm_run.report.runs import collect
from dgm_run.report.tables import columns, digits, tables
from dgm_run.way import key
from tests.report import folders


def found(folder):
    return list(tables(groups(collect(folder))))


def runs(folder, values_of, prior_of=("StandardPrior", "VampPrior"), seeds=(0, 1, 2)):
    """For each prior a run with every seed, and its values of single examples."""
    for prior, by_seed in zip(prior_of, values_of, strict=True):
        for seed, values in zip(seeds, by_seed, strict=False):
            folders.write(
                folder / f"{prior}{seed}", folders.config(prior, seed), [folders.estimate(np.mean(values))], values
            )


def test_the_best_stands_first_with_its_spread_over_seeds(tmp_path):
    ((way, rows),) = found(folders.sweep(tmp_path))
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
    assert best.number() == "-3.950 ± 0.050 (2 runs)"
    assert best.difference == ""
    assert other.difference.mean == pytest.approx(-1)
    assert columns(rows) == ["prior"]


def test_single_runs_are_compared_on_the_same_examples(tmp_path):
    draws = np.random.default_rng(0)
    ours = draws.normal(-5, 3, 40)
    theirs = ours + draws.normal(1, 0.5, 40)
    runs(tmp_path, [[ours], [theirs]])
    ((_, (best, other)),) = found(tmp_path)
    assert best.group.name == "prior=VampPrior"
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert other.difference[:3] == pytest.approx(((ours - theirs).mean(), expected.low, expected.high), rel=1e-5)
    assert other.difference.over == "40 examples"


def test_several_runs_on_the_same_data_are_paired_not_their_examples(tmp_path):
    draws = np.random.default_rng(1)
    means = [[-5.0, -4.0, -6.5], [-3.5, -4.1, -4.0]]
    runs(tmp_path, [[draws.normal(mean, 0.01, 50) for mean in each] for each in means])
    ((_, (_, other)),) = found(tmp_path)
    ours, theirs = ([run.results["estimates"][0]["value"] for run in collect(tmp_path) if name in str(run.path)]
                    for name in ("Standard", "Vamp"))  # fmt: skip
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert other.difference[1:3] == pytest.approx((expected.low, expected.high))
    assert other.difference.over == "3 pairs of runs"


def test_seeds_that_choose_no_data_pair_nothing(tmp_path):
    for prior, values in (("StandardPrior", (-5.0, -4.0, -6.5)), ("VampPrior", (-3.5, -4.1, -4.0))):
        for seed, value in enumerate(values):
            node = folders.config(prior, seed, dataset__label_seed=0)
            folders.write(tmp_path / f"{prior}{seed}", node, [folders.estimate(value)])
    ((_, (_, other)),) = found(tmp_path)
    expected = stats.ttest_ind((-5.0, -4.0, -6.5), (-3.5, -4.1, -4.0), equal_var=False).confidence_interval(0.95)
    assert other.difference[1:3] == pytest.approx((expected.low, expected.high))
    assert other.difference.over == "3 and 3 runs"


def test_the_more_rows_the_wider_the_intervals(tmp_path):
    draws = np.random.default_rng(0)
    base = draws.normal(-5, 3, 40)
    values = [base + draws.normal(-i, 0.5, 40) for i in range(4)]
    runs(tmp_path, [[each] for each in values], [f"P{i}" for i in range(4)])
    ((_, rows),) = found(tmp_path)
    level = 1 - 0.05 / 6  # of four rows six pairs
    expected = stats.ttest_rel(values[2], values[0]).confidence_interval(level)
    assert rows[2].difference[1:3] == pytest.approx((expected.low, expected.high), rel=1e-5)


def test_a_seed_without_a_number_costs_only_itself_and_is_told(tmp_path):
    for seed, value in enumerate((-5.0, float("nan"), -4.0)):
        folders.write(tmp_path / str(seed), folders.config(seed=seed), [folders.estimate(value)])
    folders.write(tmp_path / "lost", folders.config(seed=3))
    every = collect(tmp_path)
    ((_, (row,)),) = tables(groups([run for run in every if run.results], [run for run in every if not run.results]))
    assert row.number() == "-4.500 ± 0.500 (2 runs)"
    assert row.note == "1 of 3 not finite, 1 of 4 unfinished"


def test_published_numbers_stand_beside_their_own_quantities_alone(tmp_path):
    paper = {"values": {"log_likelihood": -84.5, "elbo": -86.0}, "source": "A paper"}
    rows = [folders.estimate(-3.0), folders.estimate(-4.0, "elbo"), folders.estimate(1.0, "kl")]
    folders.write(tmp_path, folders.config(), rows, published=paper)
    beside = {way.quantity: row.published for way, (row,) in found(tmp_path)}
    assert beside == {"log_likelihood": (-84.5, "A paper"), "elbo": (-86.0, "A paper"), "kl": None}


def test_tables_that_differ_by_their_data_say_by_what(tmp_path):
    for seed in (0, 1):
        node = folders.config(dataset__source={"split_seed": seed})
        folders.write(tmp_path / str(seed), node, [folders.estimate(-3.0)])
    described = [way.describe() for way, _ in found(tmp_path)]
    assert "dataset.source.split_seed=0" in described[0]
    assert "dataset.source.split_seed=1" in described[1]


def test_numbers_beyond_reason_are_short():
    assert [digits(v) for v in (-84.5, -2.172e28, float("nan"))] == ["-84.500", "-2.172e+28", "nan"]


def test_runs_with_other_seeds_are_compared_by_welch(tmp_path):
    ours, theirs = [-5.0, -4.0, -6.5], [-3.5, -4.1]
    runs(tmp_path, [[[v, v] for v in ours]], ["StandardPrior"])
    runs(tmp_path, [[[v, v] for v in theirs]], ["VampPrior"], seeds=(5, 6))
    ((_, (_, other)),) = found(tmp_path)
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    assert other.difference[1:3] == pytest.approx((expected.low, expected.high))
    assert other.difference.over == "3 and 2 runs"


def test_where_there_is_no_difference_to_tell_it_says_why(tmp_path):
    runs(tmp_path, [[[-5.0, -4.0], [-5.0, -4.2]], [[-3.0, -2.0]]])
    folders.write(tmp_path / "c", folders.config("Third"), [folders.estimate(-9.0)])
    folders.write(tmp_path / "d", folders.config("Fourth"), [folders.estimate(float("nan"))])
    ((_, rows),) = found(tmp_path)
    assert [(row.group.settings["prior"], row.difference) for row in rows[1:]] == [
        ("StandardPrior", rows[1].difference),
        ("Third", "not paired: no values of single examples"),
        ("Fourth", "not finite"),
    ]
    assert rows[1].difference.over == "2 examples, means of 2 and 1 runs"
    assert rows[1].difference.mean == pytest.approx(-2.05)
    assert rows[3].note == "not finite"


def test_values_of_another_evaluation_are_not_taken_for_those_of_this_one(tmp_path):
    """A run is evaluated again with other settings: both numbers stay, each with values of its own."""
    for name, prior, values in (("a", "StandardPrior", [-5.0, -3.0]), ("b", "VampPrior", [-4.0, -2.5])):
        first, second = (
            folders.estimate(np.mean(values)),
            folders.estimate(np.mean(values) + 9, settings={"num_samples": 7}),
        )
        path = folders.write(tmp_path / name, folders.config(prior), [first, second], values)
        again = {key(first): np.array(values), key(second): np.array(values) + 9 + (name == "b")}
        np.savez(path / "values.npz", **again)
    by_settings = {json.loads(way.settings)["num_samples"]: rows for way, rows in found(tmp_path)}
    assert by_settings[5][1].difference.mean == pytest.approx(-0.75)
    assert (
        by_settings[7][1].difference == "not paired: no values of single examples"
    )  # which are not what its number is


def test_numbers_that_were_found_in_other_ways_are_not_ranked_together(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config("VampPrior"), [folders.estimate(-2.0, settings={"num_samples": 9})])
    folders.write(tmp_path / "c", folders.config("Other"), [folders.estimate(-2.0, kind="lower_bound")])
    folders.write(tmp_path / "d", folders.config("Few"), [folders.estimate(-2.0, num_examples=2)])
    node = folders.config("Elsewhere", dataset__source={"split_seed": 1})
    folders.write(tmp_path / "e", node, [folders.estimate(-2.0)])
    assert [len(rows) for _, rows in found(tmp_path)] == [1] * 5


def test_one_run_is_one_run_however_often_it_was_evaluated(tmp_path):
    rows = [folders.estimate(-3.0, num_examples=10), folders.estimate(-3.5, num_examples=40)]
    folders.write(tmp_path / "a", folders.config(), rows)
    assert sorted(row.number() for _, (row,) in found(tmp_path)) == ["-3.000 ± 0.100", "-3.500 ± 0.100"]


def test_what_is_better_when_low_is_ranked_so_and_what_matters_first_comes_first(tmp_path):
    paper = {"values": {"error": 1.5}, "source": "A paper"}
    for name, prior, error in (("a", "StandardPrior", 3.0), ("b", "VampPrior", 2.0)):
        rows = [folders.estimate(error, "error", unit="%"), folders.estimate(-3.0), folders.estimate(error, "kl")]
        rows += [folders.estimate(error, "frechet_random"), folders.estimate(error, "mmd_p_value", floor=0.5)]
        folders.write(tmp_path / name, folders.config(prior), rows, published=paper)
    ways = {way.quantity: (way, rows) for way, rows in found(tmp_path)}
    assert list(ways) == ["log_likelihood", "error", "frechet_random", "kl", "mmd_p_value"]
    assert [row.mean for row in ways["error"][1]] == [2.0, 3.0]
    assert [row.mean for row in ways["frechet_random"][1]] == [2.0, 3.0]
    assert ways["error"][1][0].published == (1.5, "A paper")
    assert ways["log_likelihood"][1][0].published is None
    assert ways["error"][1][0].number() == "2.000 ± 0.100"
    for quantity in ("kl", "mmd_p_value"):  # no end of them is the better one
        way, rows = ways[quantity]
        assert way.better is None
        assert [row.mean for row in rows] == [3.0, 2.0]
        assert [row.difference for row in rows] == ["", ""]
    assert ways["mmd_p_value"][1][0].floor == 0.5
