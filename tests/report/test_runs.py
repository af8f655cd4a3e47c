import numpy as np

from dgm_run.report.runs import collect, flat
from tests.report import folders


def test_finished_runs_have_their_numbers_curves_and_pictures(tmp_path):
    folders.write(tmp_path / "a" / "0", folders.config(), [folders.estimate(-5.0)], [-5.0, -4.0])
    (run,) = collect(tmp_path)
    assert (run.state, run.path) == ("finished", tmp_path / "a" / "0")
    assert run.results["estimates"][0]["value"] == -5.0
    assert run.values["test/log_likelihood/importance_sampling"].tolist() == [-5.0, -4.0]
    assert run.curves["valid/elbo"] == ([1.0, 2.0, 3.0], [-3.0, -2.0, -1.5])
    assert [file.name for file in run.pictures("samples")] == ["epoch_0003.png"]
    assert run.settings["prior._target_"] == "dgm_run.priors.StandardPrior"


def test_what_is_damaged_or_not_finished_is_named_and_never_fatal(tmp_path):
    good = [folders.estimate(-5.0)]
    for name in ("cut", "list", "no_value", "stopped", "failed", "bad_values", "bad_metrics"):
        node = folders.config()
        folders.write(tmp_path / name, node, None if name in ("stopped", "failed") else good, [1.0])
    (tmp_path / "cut" / "results.json").write_text('{"model": "VAE", "estim')
    (tmp_path / "list" / "results.json").write_text("[]")
    (tmp_path / "no_value" / "results.json").write_text('{"estimates": [{"quantity": "elbo"}]}')
    (tmp_path / "failed" / "error.txt").write_text("the loss is not finite\n")
    (tmp_path / "bad_values" / "values.npz").write_bytes(b"PK\x03\x04 cut short")
    (tmp_path / "bad_metrics" / "metrics.jsonl").write_text('{"name": "valid/elbo", "epoch": 1, "value": -1.0}\n{"na')
    for name, text in (("yaml", "{"), ("other", "a: 1\n"), ("empty", "")):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "config.yaml").write_text(text)
    (tmp_path / "nothing_at_all").mkdir()
    found = {run.path.name: run for run in collect(tmp_path)}
    states = {name: run.state for name, run in found.items()}
    assert states == {
        **dict.fromkeys(("cut", "list", "no_value", "yaml", "other", "empty"), "damaged"),
        **{"stopped": "unfinished", "failed": "failed", "bad_values": "finished", "bad_metrics": "finished"},
    }
    assert found["failed"].message == "the loss is not finite"
    assert found["cut"].message.startswith("results.json cannot be read: ")
    assert found["stopped"].message == f"to go on: dgm-run trainer.resume={tmp_path / 'stopped'}"
    assert found["bad_values"].values == {}
    assert found["bad_metrics"].curves == {"valid/elbo": ([1.0], [-1.0])}


def test_nothing_is_unpickled(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-5.0)])
    np.savez(tmp_path / "a" / "values.npz", evil=np.array([object()], dtype=object))
    assert collect(tmp_path)[0].values == {}


def test_leaves_have_dotted_keys():
    assert dict(flat({"a": {"b": 1, "c": {}}, "d": [1, 2]})) == {"a.b": 1, "a.c": {}, "d": [1, 2]}
