import csv
import io

import numpy as np
import pytest

from dgm_run.report.comparison import compare_runs
from dgm_run.report.records import make_records, render_csv
from tests.support import folders


def records_of(folder, **options):
    return make_records(compare_runs(folder, **options))


def test_a_record_for_each_run_and_quantity(tmp_path):
    rows = [folders.estimate(-3.0, interval=[-3.2, -2.5]), folders.estimate(0.5, "kl", stderr=None, kind="exact")]
    folders.write(tmp_path / "a", folders.config("A", seed=0), rows)
    folders.write(tmp_path / "b", folders.config("B", seed=0), [folders.estimate(-4.0, warning="it is wrong")])
    found = records_of(tmp_path)
    names = ("run", "prior", "seed", "quantity", "value", "stderr", "interval_low", "better", "kind", "warning")
    assert [tuple(each[name] for name in names) for each in found] == [
        ("a", "A", 0, "log_likelihood", -3.0, 0.1, -3.2, "higher", "estimate", None),
        ("b", "B", 0, "log_likelihood", -4.0, 0.1, None, "higher", "estimate", "it is wrong"),
        ("a", "A", 0, "kl", 0.5, None, None, None, "exact", None),
    ]
    assert all(list(each) == list(found[0]) for each in found)


def test_differences_belong_to_the_configuration(tmp_path):
    found = records_of(folders.sweep(tmp_path))
    assert [(each["run"], each["seed"], each["dataset.label_seed"]) for each in found] == [
        ("2", 0, 0), ("3", 1, 1), ("0", 0, 0), ("1", 1, 1)
    ]  # fmt: skip
    assert [each["difference"] for each in found] == [None, None, pytest.approx(-1.0), pytest.approx(-1.0)]
    assert all(each["difference_low"] < -1.0 < each["difference_high"] for each in found[2:])


def test_published_numbers_stand_beside(tmp_path):
    paper = {"values": {"log_likelihood": -2.5}, "source": "Somebody 2020", "kind": "paper"}
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)], published=paper)
    (record,) = records_of(tmp_path)
    assert (record["published"], record["published_source"]) == (-2.5, "a paper's number: Somebody 2020")


def test_seeds_of_estimators_are_not_repeated(tmp_path):
    rows = [folders.estimate(-v, settings={"num_samples": 5, "seed": seed}) for seed, v in ((1, 4.0), (2, 5.0))]
    folders.write(tmp_path / "a", folders.config(), rows)
    assert [each["value"] for each in records_of(tmp_path, estimator_seeds="compare")] == [-4.0, -5.0]
    assert [each["value"] for each in records_of(tmp_path, estimator_seeds="pool")] == [-4.5]


def test_csv_reads_back_to_the_records(tmp_path):
    for name, dims in (("a", [3, 4]), ("b", None)):
        node = folders.config(model__hidden_dims=dims)
        folders.write(tmp_path / name, node, [folders.estimate(np.pi, warning='a "quoted", line')])
    found = records_of(tmp_path)
    read = list(csv.DictReader(io.StringIO(render_csv(found))))
    assert list(read[0]) == list(found[0])
    assert [each["model.hidden_dims"] for each in read] == ["[3, 4]", ""]
    assert float(read[0]["value"]) == np.pi
    assert read[0]["warning"] == 'a "quoted", line'
    assert (read[0]["seed"], read[0]["interval_low"]) == ("0", "")


def test_no_records_give_an_empty_file():
    assert render_csv([]) == ""


def test_other_data_are_told_apart(tmp_path):
    other = {"name": "kmnist", "preprocessing": "fixed", "settings": {}}
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0), folders.estimate(-9.0, dataset=other)])
    names = ("dataset", "preprocessing", "trained_on", "is_other_data", "value")
    assert [tuple(each[name] for name in names) for each in records_of(tmp_path)] == [
        ("digits", "dynamic", "digits", False, -3.0),
        ("kmnist", "fixed", "digits", True, -9.0),
    ]
