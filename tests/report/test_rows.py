import numpy as np
import pytest

from dgm_run.report.groups import find_varying_settings, group_runs
from dgm_run.report.rows import NUM_SEEDS, format_nats
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders


def test_infinite_seed_is_left_out_and_noted(tmp_path):
    for seed, value in enumerate((-5.0, float("nan"), -4.0)):
        folders.write(tmp_path / str(seed), folders.config(seed=seed), [folders.estimate(value)])
    folders.write(tmp_path / "lost", folders.config(seed=3))
    every = collect_runs(tmp_path)
    ((_, (row,)),) = make_tables(
        group_runs([run for run in every if run.results], [run for run in every if not run.results])
    )
    assert row.format_number() == "-4.500 ± 0.500 (2 runs)"
    assert row.note == "1 of 3 not finite, 1 of 4 unfinished"


def test_one_run_has_its_stated_error(tmp_path):
    """Takes the stated error of the one finite run; the other run of the row has no number."""
    for seed, (value, stderr) in enumerate(((float("nan"), 9.0), (-3.0, 0.25))):
        folders.write(tmp_path / str(seed), folders.config(seed=seed), [folders.estimate(value, stderr=stderr)])
    ((_, (row,)),) = make_tables(group_runs(collect_runs(tmp_path)))
    assert (row.stderr, row.has_several_runs) == (0.25, False)


def test_example_values_are_means_over_runs(tmp_path):
    values = [np.array([-5.0, -3.0]), np.array([-6.0, -3.0])]
    for seed, each in enumerate(values):
        folders.write(tmp_path / str(seed), folders.config(seed=seed), [folders.estimate(each.mean())], each)
    ((_, (row,)),) = make_tables(group_runs(collect_runs(tmp_path)))
    assert row.values_of_examples == pytest.approx([-5.5, -3.0])
    folders.write(tmp_path / "2", folders.config(seed=2), [folders.estimate(-4.0)])
    ((_, (row,)),) = make_tables(group_runs(collect_runs(tmp_path)))
    assert row.values_of_examples is None


def test_mean_over_estimator_seeds_is_noted(tmp_path):
    folders.write(tmp_path, folders.config(), [folders.estimate(-3.0) | {NUM_SEEDS: 4}])
    ((_, (row,)),) = make_tables(group_runs(collect_runs(tmp_path)))
    assert row.note == "mean of 4 estimator seeds"


def test_columns_are_what_rows_differ_by(tmp_path):
    ((_, rows),) = make_tables(group_runs(collect_runs(folders.sweep(tmp_path))))
    assert find_varying_settings([row.group for row in rows]) == ["prior"]
    assert find_varying_settings([rows[0].group]) == []


def test_numbers_beyond_reason_are_short():
    assert [format_nats(v) for v in (-84.5, -2.172e28, float("nan"))] == ["-84.500", "-2.172e+28", "nan"]
