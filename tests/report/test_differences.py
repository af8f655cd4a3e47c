import json
import math

import numpy as np
import pytest
from scipy import stats

from dgm_run.recording.estimate_id import values_key
from dgm_run.report.groups import group_runs
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders

PRIORS = ("StandardPrior", "VampPrior")


def read_tables(folder):
    return list(make_tables(group_runs(collect_runs(folder))))


def write(folder, prior, seed, values, fixed_labels=False, **more):
    """A run; numbers alone, without values of single examples, where `values` is one of them."""
    node = folders.config(prior, seed, **({"dataset__label_seed": 0} if fixed_labels else {}))
    row = folders.estimate(float(np.mean(values)), **more)
    folders.write(folder / f"{prior}{seed}", node, [row], values if np.ndim(values) else None)


def runs(folder, values_of, prior_of=PRIORS, seeds=(0, 1, 2), **more):
    """Writes a run for each prior and seed, with its values of single examples."""
    for prior, by_seed in zip(prior_of, values_of, strict=True):
        for seed, values in zip(seeds, by_seed, strict=False):
            write(folder, prior, seed, values, **more)


def half(difference):
    assert difference.mean == pytest.approx((difference.low + difference.high) / 2)
    return (difference.high - difference.low) / 2


def test_single_runs_pair_examples(tmp_path):
    draws = np.random.default_rng(0)
    ours = draws.normal(-5, 3, 40)
    theirs = ours + draws.normal(1, 0.5, 40)
    runs(tmp_path, [[ours], [theirs]])
    ((_, (best, other)),) = read_tables(tmp_path)
    assert best.group.name == "prior=VampPrior"
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert other.difference[:3] == pytest.approx(((ours - theirs).mean(), expected.low, expected.high), rel=1e-5)
    assert (other.difference.over, other.compared) == ("40 examples", "trained model")


def test_computing_error_adds_to_difference(tmp_path):
    """Values that differ by a constant have no scatter: the difference of two log Z is all that is not known."""
    for prior, log_p, below, above in (("StandardPrior", -5.0, 0.3, 0.1), ("VampPrior", -4.0, 0.4, 0.2)):
        values = np.array([-1.0, 0.0, 1.0, 0.0]) + log_p
        write(tmp_path, prior, 0, values, computing_interval=[log_p - below, log_p + above])
    ((_, (_, other)),) = read_tables(tmp_path)
    # -5 - -4 is low where -5 is low or -4 is high
    expected = (-1.0, -1 - math.hypot(0.3, 0.2), -1 + math.hypot(0.1, 0.4))
    assert other.difference[:3] == pytest.approx(expected)
    assert other.difference.over == "4 examples and computing"


def test_stated_error_grows_with_rows(tmp_path):
    for i in range(3):
        write(tmp_path, f"P{i}", 0, np.full(30, -float(i)), computing_interval=[-i - 0.5, -i + 0.5])
    ((_, (_, other, _)),) = read_tables(tmp_path)
    normal = stats.norm.ppf(1 - 0.05 / 3 / 2) / stats.norm.ppf(0.975)  # of three rows three pairs
    assert half(other.difference) == pytest.approx(math.hypot(0.5, 0.5) * normal)


def test_unpaired_errors_are_independent(tmp_path):
    write(tmp_path, "StandardPrior", 0, -5.0, interval=[-5.3, -4.9], num_examples=1000)
    write(tmp_path, "VampPrior", 0, -4.0, interval=[-4.4, -3.8], num_examples=1000)
    ((_, (_, other)),) = read_tables(tmp_path)
    expected = (-1.0, -1 - math.hypot(0.3, 0.2), -1 + math.hypot(0.1, 0.4))
    assert other.difference == (*map(pytest.approx, expected), "unpaired")


def test_few_examples_widen_unpaired(tmp_path):
    for i in range(3):
        write(tmp_path, f"P{i}", 0, -float(i), interval=[-i - 0.5, -i + 0.5], num_examples=5)
    ((_, (_, other, _)),) = read_tables(tmp_path)
    ratio = stats.t(4).ppf(1 - 0.05 / 3 / 2) / stats.t(4).ppf(0.975)
    assert half(other.difference) == pytest.approx(math.hypot(0.5, 0.5) * ratio)


def test_infinite_error_gives_infinite_ends(tmp_path):
    write(tmp_path, "StandardPrior", 0, -5.0, interval=[-math.inf, -4.0])
    write(tmp_path, "VampPrior", 0, -4.0, interval=[-4.5, -3.5])
    ((_, (_, other)),) = read_tables(tmp_path)
    assert (other.difference.low, other.difference.high) == (-math.inf, pytest.approx(-1 + math.hypot(1, 0.5)))


def test_runs_on_the_same_data_are_paired(tmp_path):
    means = [[-5.0, -4.0, -6.5], [-3.5, -4.1, -4.0]]
    runs(tmp_path, means)
    ((_, (_, other)),) = read_tables(tmp_path)
    expected = stats.ttest_rel(*means).confidence_interval(0.95)
    assert other.difference[1:3] == pytest.approx((expected.low, expected.high))
    assert (other.difference.over, other.compared) == ("3 pairs of runs", "configuration")


def test_model_seeds_pair_no_runs(tmp_path):
    means = [[-5.0, -4.0, -6.5], [-3.5, -4.1, -4.0]]
    runs(tmp_path, means, fixed_labels=True)
    ((_, (_, other)),) = read_tables(tmp_path)
    expected = stats.ttest_ind(*means, equal_var=False).confidence_interval(0.95)
    assert other.difference[1:3] == pytest.approx((expected.low, expected.high))
    assert other.difference.over == "3 and 3 runs"


def test_intervals_hold_runs_and_examples(tmp_path):
    draws = np.random.default_rng(1)
    values = [[mean + draws.normal(0, 2, 50) for mean in means] for means in ((-5, -4, -6.5), (-3.5, -4.1, -4.0))]
    runs(tmp_path, values, fixed_labels=True)
    ((_, (_, other)),) = read_tables(tmp_path)
    between = stats.ttest_ind(*np.mean(values, 2), equal_var=False).confidence_interval(0.95)
    within = stats.ttest_rel(*np.mean(values, 1)).confidence_interval(0.95)
    assert half(other.difference) == pytest.approx(
        math.hypot(between.high - between.low, within.high - within.low) / 2, rel=1e-4
    )
    assert other.difference.over == "3 and 3 runs, 50 examples"


def test_two_runs_have_little_freedom(tmp_path):
    """Welch's 2.8 would be liberal: the degrees of freedom are at most those of two samples of two."""
    ours, theirs = [-5.0, -4.0, -6.5], [-3.5, -4.1]
    runs(tmp_path, [ours], ["StandardPrior"])
    runs(tmp_path, [theirs], ["VampPrior"], seeds=(5, 6))
    ((_, (_, other)),) = read_tables(tmp_path)
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert welch.df > 2
    stderr = math.sqrt(np.var(ours, ddof=1) / 3 + np.var(theirs, ddof=1) / 2)
    assert half(other.difference) == pytest.approx(stats.t(2).ppf(0.975) * stderr)
    assert other.difference.over == "3 and 2 runs"


def test_single_run_takes_pooled_spread(tmp_path):
    several = [[-5.0, -4.0, -6.5], [-3.5, -4.1, -4.0]]
    runs(tmp_path, several)
    write(tmp_path, "Third", 0, -9.0, stderr=0.01)
    ((_, (best, _, single)),) = read_tables(tmp_path)
    within = sum(np.var(each, ddof=1) * 2 for each in several) / 4
    level = 1 - 0.05 / 3 / 2
    assert single.difference.mean == pytest.approx(-9 - best.mean)
    assert half(single.difference) == pytest.approx(stats.t(4).ppf(level) * math.sqrt(within * (1 + 1 / 3)))
    assert (single.difference.over, single.compared) == (
        "1 and 3 runs with the spread of 2 configurations",
        "configuration",
    )


def test_single_run_has_computing_error(tmp_path):
    runs(tmp_path, [[-5.0, -4.0, -6.0]], ["StandardPrior"])
    write(tmp_path, "VampPrior", 0, -3.0, computing_interval=[-13.0, 7.0])
    ((_, (_, other)),) = read_tables(tmp_path)
    of_runs = stats.t(2).ppf(0.975) * math.sqrt(1 + 1 / 3)
    assert half(other.difference) == pytest.approx(math.hypot(of_runs, 10))
    assert other.difference.over == "3 and 1 runs with the spread of 1 configuration, computing"


def test_a_table_compares_one_kind_of_thing(tmp_path):
    """Beside rows of several runs two single ones are configurations as well."""
    runs(tmp_path, [[-5.0, -4.0], [-3.0], [-2.0]], [*PRIORS, "Third"])
    ((_, (_, *others)),) = read_tables(tmp_path)
    assert {row.compared for row in others} == {"configuration"}
    assert others[0].difference.over == "1 and 1 runs with the spread of 1 configuration"


def test_more_rows_give_wider_intervals(tmp_path):
    draws = np.random.default_rng(0)
    base = draws.normal(-5, 3, 40)
    values = [base + draws.normal(-i, 0.5, 40) for i in range(4)]
    runs(tmp_path, [[each] for each in values], [f"P{i}" for i in range(4)])
    ((_, rows),) = read_tables(tmp_path)
    level = 1 - 0.05 / 6  # of four rows six pairs
    expected = stats.ttest_rel(values[2], values[0]).confidence_interval(level)
    assert rows[2].difference[1:3] == pytest.approx((expected.low, expected.high), rel=1e-5)


def test_missing_difference_has_a_reason(tmp_path):
    runs(tmp_path / "models", [[[-5.0, -4.0]], [-6.0], [math.nan]], [*PRIORS, "Third"])
    runs(tmp_path / "means", [[-5.0, -5.0], [-6.0, -6.0]])
    ((_, models),), ((_, means),) = read_tables(tmp_path / "models"), read_tables(tmp_path / "means")
    assert [row.difference for row in (*models[1:], *means[1:])] == [
        "not paired: no values of single examples, and no intervals",
        "not finite",
        "-1.000, without any spread over 2 pairs of runs",
    ]


def test_lost_run_leaves_others_paired(tmp_path):
    runs(tmp_path, [[[-5.0, -4.0], [math.nan, math.nan]], [[-3.0, -2.5]]])
    ((_, (_, other)),) = read_tables(tmp_path)
    assert other.difference.mean == pytest.approx(-1.75)
    assert (other.difference.over, other.compared) == ("2 examples", "trained model")


def test_other_evaluations_pair_nothing(tmp_path):
    """A run is evaluated again with other settings: both numbers stay, each with values of its own."""
    for name, prior, values in (("a", "StandardPrior", [-5.0, -3.0]), ("b", "VampPrior", [-4.0, -2.5])):
        first = folders.estimate(np.mean(values))
        second = folders.estimate(np.mean(values) + 9, settings={"num_samples": 7})
        path = folders.write(tmp_path / name, folders.config(prior), [first, second], values)
        again = {values_key(first): np.array(values), values_key(second): np.array(values) + 9 + (name == "b")}
        np.savez(path / "values.npz", **again)
    by_settings = {json.loads(way.settings)["num_samples"]: rows for way, rows in read_tables(tmp_path)}
    assert by_settings[5][1].difference.mean == pytest.approx(-0.75)
    assert by_settings[7][1].difference.startswith("not paired: ")  # its values are not what its number is
