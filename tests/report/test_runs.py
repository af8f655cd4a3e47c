import json
import os
import zipfile

import numpy as np
import pytest

from dgm_run.config.leaves import iterate_leaves
from dgm_run.recording.estimate_id import values_key
from dgm_run.report.runs import collect_runs
from dgm_run.report.write import report
from dgm_run.runner.run_lock import HOLDER_FILE, LOCK_FILE, lock_run_folder
from tests.support import folders


def test_finished_runs_are_read_whole(tmp_path):
    folders.write(tmp_path / "a" / "0", folders.config(), [folders.estimate(-5.0)], [-5.0, -4.0])
    (run,) = collect_runs(tmp_path)
    assert (run.state, run.path) == ("finished", tmp_path / "a" / "0")
    assert run.results["estimates"][0]["value"] == -5.0
    assert run.values[values_key(run.results["estimates"][0])].tolist() == [-5.0, -4.0]
    assert run.curves["valid/elbo"] == ([1.0, 2.0, 3.0], [-3.0, -2.0, -1.5])
    assert [file.name for file in run.pictures("samples")] == ["epoch_0003.png"]
    assert run.settings["prior._target_"] == "dgm_run.priors.StandardPrior"


def test_damaged_runs_are_never_fatal(tmp_path):
    good = [folders.estimate(-5.0)]
    for name in ("cut", "list", "no_value", "stopped", "failed", "bad_values", "bad_metrics"):
        node = folders.config()
        folders.write(tmp_path / name, node, None if name in ("stopped", "failed") else good, [1.0])
    (tmp_path / "cut" / "results.json").write_text('{"model": "VAE", "estim')
    (tmp_path / "list" / "results.json").write_text("[]")
    (tmp_path / "no_value" / "results.json").write_text('{"estimates": [{"quantity": "elbo"}]}')
    (tmp_path / "stopped" / "checkpoints" / "last").mkdir(parents=True)
    (tmp_path / "stopped" / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    (tmp_path / "failed" / "error.txt").write_text("the loss is not finite\n")
    (tmp_path / "bad_values" / "values.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "bad_metrics" / "metrics.jsonl").write_text('{"name": "valid/elbo", "epoch": 1, "value": -1.0}\n{"na')
    for name, text in (("yaml", "{"), ("other", "a: 1\n"), ("empty", "")):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "config.yaml").write_text(text)
    (tmp_path / "nothing_at_all").mkdir()
    found = {run.path.name: run for run in collect_runs(tmp_path)}
    states = {name: run.state for name, run in found.items()}
    assert states == {
        **dict.fromkeys(("cut", "list", "no_value", "yaml", "other", "empty"), "damaged"),
        **{"stopped": "unfinished", "failed": "failed", "bad_values": "finished", "bad_metrics": "finished"},
    }
    assert found["failed"].message == "the loss is not finite"
    assert found["cut"].message.startswith("results.json cannot be read: ")
    assert found["stopped"].message == f"to resume: dgm-run trainer.resume={tmp_path / 'stopped'}"
    assert found["bad_values"].values == {}
    assert found["bad_metrics"].curves == {"valid/elbo": ([1.0], [-1.0])}


def test_failed_estimators_are_warnings(tmp_path):
    path = folders.write(tmp_path / "a", folders.config(), [folders.estimate(-5.0)]) / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"failed_estimators": {"ais": "out of memory"}}))
    (run,) = collect_runs(tmp_path)
    assert run.warnings == [("ais", "failed: out of memory")]
    _, files = report(tmp_path)
    assert all("failed: out of memory" in file.read_text() for file in files)


def test_nothing_is_unpickled(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-5.0)])
    np.savez(tmp_path / "a" / "values.npz", evil=np.array([object()], dtype=object))
    assert collect_runs(tmp_path)[0].values == {}


def test_leaves_have_dotted_keys():
    assert dict(iterate_leaves({"a": {"b": 1, "c": {}}, "d": [1, 2]})) == {"a.b": 1, "a.c": {}, "d": [1, 2]}


def test_only_bad_estimates_are_dropped(tmp_path):
    whole = folders.estimate(-5.0)
    odd = {
        "training": {"training": None},
        "speed": {"training": {"examples_per_second": float("inf"), "monitor": ["x"]}},
        "parameters": {"parameters": "many"},
        "settings": {"estimates": [whole, whole | {"settings": None}, whole | {"value": None}, "no row"]},
        "published": {"published": "a paper"},
        "environment": {"environment": [1]},
        "failed": {"failed_estimators": ["ais"]},
    }
    for name, change in odd.items():
        path = folders.write(tmp_path / name, folders.config(), [whole]) / "results.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    lines = ['{"name": "valid/elbo", "epoch": 1, "value": NaN}', '{"name": "valid/elbo", "epoch": 2, "value": null}']
    with open(tmp_path / "speed" / "metrics.jsonl", "a") as file:
        file.write("\n".join([*lines, '{"name": "valid/elbo", "epoch": 9, "value": -1.0}', ""]))
    found = collect_runs(tmp_path)
    assert {run.state for run in found} == {"finished"}
    assert [len(run.results["estimates"]) for run in found] == [1] * 7
    messages = {run.path.name: run.message for run in found if run.message}
    assert messages == {"settings": "3 of its estimates cannot be read, and are left out"}
    curve = next(run for run in found if run.path.name == "speed").curves["valid/elbo"]
    assert curve == ([1.0, 2.0, 3.0, 9.0], [-3.0, -2.0, -1.5, -1.0])
    text, files = report(tmp_path)
    assert "nan" not in text.lower()
    assert len(files) == 2


def test_results_without_config_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "results.json").write_text("{}")
    (run,) = collect_runs(tmp_path)
    assert (run.state, run.message) == ("damaged", "there is no .hydra/config.yaml beside its results.json")


def test_running_differs_from_stopped(tmp_path):
    node = folders.config()
    for name in ("working", "early"):
        folders.write(tmp_path / name, node)
        for left in (LOCK_FILE, HOLDER_FILE):  # by a process that was killed
            (tmp_path / name / left).touch()
    with lock_run_folder(tmp_path / "working"):
        found = {run.path.name: (run.state, run.message) for run in collect_runs(tmp_path)}
    assert found["working"] == ("running", "it is running")
    assert found["early"] == ("unfinished", "it ended before its first checkpoint")


def test_failed_run_shows_its_overrides(tmp_path):
    path = folders.write(tmp_path / "a", folders.config())
    (path / "error.txt").write_text("the loss is not finite\n")
    (path / ".hydra" / "overrides.yaml").write_text("- optimizer.lr=9\n- trainer.resume=auto\n")
    (run,) = collect_runs(tmp_path)
    assert run.description == "optimizer.lr=9: the loss is not finite"


def test_a_refused_run_is_no_failure(tmp_path):
    folders.write(tmp_path / "good", folders.config(), [folders.estimate(-5.0)])
    path = folders.write(tmp_path / "typo", folders.config(seed=1))
    (path / "metrics.jsonl").unlink()
    (path / "error.txt").write_text("model.latent_dim = 0 must be at least 1\n")
    shown, files = report(tmp_path)
    assert shown.startswith("# 1 configuration; runs: 1 finished, 1 refused\n")
    assert "\n## Runs refused before training\n\n- refused: typo: model.latent_dim = 0" in shown
    assert "Runs without results" not in shown
    page = files[0].read_text()
    assert "<h2>Runs refused before training</h2></summary><section><ul><li><b>refused</b> <a " in page


def rewritten(name, text):
    return lambda run: (run / name).write_text(text)


def estimates(**change):
    def damage(run):
        found = json.loads((run / "results.json").read_text())
        found["estimates"][0] |= change
        (run / "results.json").write_text(json.dumps(found))

    return damage


def replaced_by_a_folder(name):
    def damage(run):
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()

    return damage


def header_of_values(run):
    with zipfile.ZipFile(run / "values.npz", "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': garb((\n")


def failed_without_a_reason(run):
    (run / "results.json").unlink()
    (run / "error.txt").mkdir()


DAMAGES = {
    "numbers that no float holds": estimates(value=10**400),
    "a kind that is a number": estimates(kind=5),
    "deep results": rewritten("results.json", "[" * 200_000),
    "deep metrics": rewritten("metrics.jsonl", "[" * 200_000),
    "a configuration in itself": rewritten(".hydra/config.yaml", "model: &a [*a]\n"),
    "a header of values": header_of_values,
    "a picture that leads nowhere": lambda run: (run / "samples" / "z.png").symlink_to("nowhere"),
    "a reason that is a folder": failed_without_a_reason,
    "results that are a folder": replaced_by_a_folder("results.json"),
    "curves that never begin": rewritten("metrics.jsonl", '{"name": "valid/elbo", "epoch": 0, "value": 1}\n' * 3),
    "half a character": estimates(quantity="\ud800"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_costs_no_other(damage, tmp_path):
    folders.sweep(tmp_path)
    DAMAGES[damage](tmp_path / "0")
    text, files = report(tmp_path)
    assert "**-3.950 ± 0.050**" in text
    assert all(file.stat().st_size for file in files)


def test_unreadable_values_are_named(tmp_path):
    folders.sweep(tmp_path)
    header_of_values(tmp_path / "0")
    assert "0: results.json: values.npz cannot be read, so that nothing is paired with it" in report(tmp_path)[0]


def test_unreadable_folder_is_named(tmp_path, monkeypatch):
    folders.sweep(tmp_path)
    walk, closed = os.walk, PermissionError(13, "Permission denied", str(tmp_path / "closed"))

    def without_permission(folder, onerror):
        onerror(closed)
        yield from walk(folder)

    monkeypatch.setattr(os, "walk", without_permission)
    assert "- damaged: closed: it cannot be read: Permission denied" in report(tmp_path)[0]


def test_equal_warnings_appear_once(tmp_path):
    rows = [folders.estimate(-3.0, settings={"seed": seed}, warning="low") for seed in (1, 2)]
    folders.write(tmp_path, folders.config(), rows)
    (run,) = collect_runs(tmp_path)
    assert run.warnings == [("log_likelihood", "low")]


def test_an_interval_with_an_end_that_is_nan(tmp_path):
    damaged = folders.estimate(-5.0, interval=[float("nan"), -4.0])
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-5.0, interval=[-6.0, -4.0]), damaged])
    (run,) = collect_runs(tmp_path)
    assert [each["interval"] for each in run.results["estimates"]] == [[-6.0, -4.0]]
    assert "1 of its estimates cannot be read" in run.message


def test_each_warning_stands_alone(tmp_path):
    folders.write(tmp_path, folders.config(), [folders.estimate(-3.0, warning="few samples\nworse than columns")])
    (run,) = collect_runs(tmp_path)
    assert run.warnings == [("log_likelihood", "few samples"), ("log_likelihood", "worse than columns")]
