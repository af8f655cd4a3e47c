import numpy as np
import pytest

from dgm_run.report.groups import groups
from dgm_run.report.runs import collect
from dgm_run.report.tables import columns, tables
from tests.report import folders


def found(folder):
    return list(tables(groups(collect(folder))))


def test_the_best_stands_first_with_its_spread_over_seeds_and_the_paired_difference(tmp_path):
    ((way, rows),) = found(folders.sweep(tmp_path))
    assert (way.quantity, way.estimator, way.unit) == ("log_likelihood", "importance_sampling", "nats")
    best, other = rows
    assert best.group.name == "prior=VampPrior"
    assert best.mean == pytest.approx(-4 + 0.05)
    assert best.sd == pytest.approx(0.1 / 2**0.5)
    assert best.number() == "-3.950 ± 0.071 (sd of 2 runs)"
    assert best.difference is None
    apart = -np.array([1.0, 0.8, 1.2, 1.0])
    assert other.difference == pytest.approx((apart.mean(), apart.std(ddof=1) / 2))  # not that of two means
    assert columns(rows) == ["prior"]


def test_numbers_that_were_found_in_other_ways_are_not_ranked_together(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config("VampPrior"), [folders.estimate(-2.0, settings={"num_samples": 9})])
    folders.write(tmp_path / "c", folders.config("Other"), [folders.estimate(-2.0, kind="lower_bound")])
    assert [len(rows) for _, rows in found(tmp_path)] == [1, 1, 1]


def test_differences_need_the_same_examples(tmp_path):
    for name, split, prior in (("a", 0, "StandardPrior"), ("b", 1, "VampPrior")):
        node = folders.config(prior, dataset__source={"split_seed": split})
        folders.write(tmp_path / name, node, [folders.estimate(-3.0 - split)], [-3.0, -4.0])
    ((_, rows),) = found(tmp_path)
    assert rows[1].difference is None
    node = folders.config("Third")
    folders.write(tmp_path / "c", node, [folders.estimate(-9.0)], [-9.0, -9.0, -9.0])  # not as many
    ((_, rows),) = found(tmp_path)
    assert [row.difference for row in rows] == [None] * 3


def test_what_is_better_when_low_is_ranked_so_and_what_matters_first_comes_first(tmp_path):
    for name, prior, error in (("a", "StandardPrior", 3.0), ("b", "VampPrior", 2.0)):
        rows = [folders.estimate(error, "error", unit="%"), folders.estimate(-3.0), folders.estimate(1.0, "zeta")]
        folders.write(tmp_path / name, folders.config(prior), rows, published={"quantity": "error", "value": 1.5})
    ways = found(tmp_path)
    assert [way.quantity for way, _ in ways] == ["log_likelihood", "error", "zeta"]
    assert [row.mean for row in ways[1][1]] == [2.0, 3.0]
    assert ways[1][1][0].published == 1.5
    assert ways[0][1][0].published is None
    assert ways[1][1][0].number() == "2.000 ± 0.100"
