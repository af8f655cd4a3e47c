"""dgm-eval: finished runs are evaluated again."""

import json
import shlex
import shutil

import numpy as np
import pytest

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from dgm_run.recording.estimate_id import values_key
from dgm_run.runner.run_folder import load_model
from tests.support.tiny import TINY, run_command, run_here

OVERRIDES = (*TINY, "prior=vampprior", "prior.num_components=5")
WITHOUT_ESTIMATORS = tuple(override for override in OVERRIDES if not override.startswith("estimators"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done = run_command(
        "main", *TINY, "prior=vampprior", "prior.num_components=5", f"hydra.run.dir={folder}/run", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def estimates(folder):
    return json.loads((folder / "results.json").read_text())["estimates"]


def test_another_estimator_adds_estimates(run):
    before = estimates(run)
    done = run_command("evaluate", "run", "estimators=[ais_decoder]", "estimators.ais_decoder.num_temperatures=5",
                   "estimators.ais_decoder.num_simulated=3", "estimators.ais_decoder.target_gap=null",
                   cwd=run.parent)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = estimates(run)
    assert found[: len(before)] == before
    assert [row["quantity"] for row in found[len(before) :]] == [
        "log_likelihood",
        "simulated_low",
        "simulated_high",
        "gap",
    ]
    assert "added to run/results.json: log_likelihood by ais; simulated_low, simulated_high, gap by bdmc" in done.stdout
    assert "same estimator and settings" not in done.stdout
    assert not (run / "error.txt").exists()


def test_evaluation_shows_its_own_doubts(run):
    done = run_command("evaluate", "run", "estimators.importance_sampling.num_samples=1", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert "importance_sampling: ess_median 1, " in done.stdout
    assert "log_likelihood: a single draw carries the weight" in done.stdout


def test_an_estimator_seed_adds_rows(run):
    def rows():
        return [row for row in estimates(run) if row["quantity"] == "elbo"]

    for setting in ("seed=1", "repeats=2"):
        done = run_command("evaluate", "run", f"estimators.importance_sampling.{setting}", cwd=run.parent)
        assert done.returncode == 0, done.stderr
    first, other, both = rows()
    assert [row["settings"] for row in (first, other, both)] == [
        {"num_samples": 2},
        {"num_samples": 2, "seed": 1},
        {"num_samples": 2, "repeats": 2},
    ]
    assert first["value"] != other["value"]
    assert both["value"] == pytest.approx((first["value"] + other["value"]) / 2)
    with np.load(run / "values.npz") as values:
        stored = {name for name in values.files if name.startswith("test/elbo/")}
    assert stored == {values_key(row) for row in rows()}


@pytest.mark.parametrize(
    ("setting", "message"),
    [("seed=-1", "seed = -1 must be at least 0"), ("repeats=0", "repeats = 0 must be at least 1")],
)
def test_odd_seeds_and_repeats_are_refused(setting, message):
    cfg = dgm_run.compose(*TINY, f"estimators.importance_sampling.{setting}")
    with pytest.raises(ConfigError, match=f"^estimators.importance_sampling.{message}$"):
        validate(cfg)


def test_pictures_of_estimator_are_kept(run):
    sizes = [f"estimators.sample_quality.{setting}" for setting in ("num_samples=50", "features=pixels")]
    cfg = dgm_run.compose(*WITHOUT_ESTIMATORS, "estimators=[sample_quality]", *sizes)
    found = dgm_run.evaluate(cfg, run)["estimates"]
    assert (run / "nearest_neighbours" / "evaluated.png").exists()
    assert {row["quantity"] for row in found if row["train_reference"] is not None} >= {
        "frechet_pixels",
        "coverage",
        "c2st_linear",
    }


def test_data_of_other_shape_is_refused(run, monkeypatch, capfd):
    other = "+dataset@estimators.out_of_distribution.dataset=bars_and_stripes"
    done = run_here("evaluate", ["run", "estimators=[out_of_distribution]", other], run.parent, monkeypatch, capfd)
    assert done.returncode == 1
    expected = "estimators.out_of_distribution.dataset: its examples are [1, 4, 4], not [1, 8, 8]: choose one of"
    assert done.stderr.startswith(expected)


def test_wrong_estimator_changes_nothing(run):
    before = (run / "results.json").read_bytes()
    cfg = dgm_run.compose(*WITHOUT_ESTIMATORS, "estimators=[ais_decoder]", "estimators.ais_decoder.scale=fit")
    with pytest.raises(ConfigError, match="the decoder has no Gaussian noise: set scale=model"):
        dgm_run.evaluate(cfg, run)
    assert (run / "results.json").read_bytes() == before


def test_the_same_again_takes_the_place_of_what_it_repeats(run, capsys):
    before = estimates(run)
    cfg = dgm_run.compose(*OVERRIDES)
    dgm_run.evaluate(cfg, run)
    found, shown = estimates(run), capsys.readouterr().out
    assert "same estimator and settings: log_likelihood, bits_per_dim by importance_sampling; elbo, " in shown
    assert "added to" not in shown
    assert len(found) == len(before)
    assert {row["quantity"]: row["value"] for row in found} == {row["quantity"]: row["value"] for row in before}
    cfg.estimators.importance_sampling.num_samples = 7
    dgm_run.evaluate(cfg, run)
    likelihoods = [row for row in estimates(run) if row["quantity"] == "log_likelihood"]
    assert [row["settings"]["num_samples"] for row in likelihoods] == [2, 7]


def test_it_is_the_model_of_the_run(run):
    cfg = dgm_run.compose(*OVERRIDES)
    cfg.estimators.importance_sampling.num_samples = 3000
    rows = [row for row in dgm_run.evaluate(cfg, run)["estimates"] if row["settings"].get("num_samples") == 3000]
    (elbo,) = (row["value"] for row in rows if row["quantity"] == "elbo")
    data = instantiate(cfg.dataset).load()
    weights = load_model(run).log_weights(data.test.batch(slice(None)), 500)
    assert elbo == pytest.approx(weights.mean().item(), abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no run folder nowhere: dgm-eval RUN_DIR"),
        (["run", "model.latent_dim=3"], "the run has another configuration: model.latent_dim: 2 -> 3"),
        (["run", "estimators=[energy]"], "estimators.energy: EnergyLikelihood needs model to be of kind"),
        (["run", "trainer.max_epoch=3"], "trainer.max_epoch: there is no such key: did you mean trainer.max_epochs?"),
        (["run", "estimators=[ais]"], "estimators=[ais]: there is no such choice: did you mean estimators=energy"),
        (
            ["run", "estimators.importance_sampling.samples=3"],
            "estimators.importance_sampling.samples: there is no such "
            "key: did you mean estimators.importance_sampling.num_samples?",
        ),
        (["run", "estimators=null"], "estimators=null: to go without, write 'estimators=[]'"),
        (["run", "estimators=[exact"], "estimators=[exact: [ and ] do not match"),
    ],
)
def test_wrong_commands_are_refused(arguments, message, run, monkeypatch, capfd):
    before = (run / "results.json").read_text()
    done = run_here("evaluate", arguments, run.parent, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert (run / "results.json").read_text() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no results.json: its run has not ended: dgm-run trainer.resume="),
        ('{"estimates": [', "cannot be read"),
    ],
)
def test_run_without_whole_results_refused(content, message, run, monkeypatch, capfd):
    (run / "results.json").unlink()
    if content:
        (run / "results.json").write_text(content)
    done = run_here("evaluate", ["run"], run.parent, monkeypatch, capfd)
    assert done.returncode == 1
    assert message in done.stderr


def test_status_names_failed_estimator_and_its_repair(run, monkeypatch, capfd):
    with monkeypatch.context() as patch:
        patch.setattr("dgm_run.estimators.likelihood.importance_sampling.ImportanceSampling.__call__", lambda *a: 1 / 0)
        done = run_here("evaluate", [str(run)], run.parent, patch, capfd)
    again = f"dgm-eval {run} 'estimators=[importance_sampling]' estimators.importance_sampling.num_samples=2"
    assert done.returncode == 1
    assert done.stderr == (
        "estimators.importance_sampling failed: ZeroDivisionError: division by zero; training and other estimates are "
        f"kept; to run it again: {again}\n"
    )
    (run / "error.txt").write_text(done.stderr)
    done = run_here("evaluate", shlex.split(again)[1:], run.parent, monkeypatch, capfd)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((run / "results.json").read_text())["failed_estimators"] == {}
    assert not (run / "error.txt").exists()
    sessions = [line for line in (run / "run.log").read_text().splitlines() if line.startswith("=== ")]
    assert [line.rpartition(": ")[2] for line in sessions] == ["training", *["evaluation of the best checkpoint"] * 2]


def test_run_from_python_keeps_its_configuration(tmp_path, monkeypatch, capfd):
    """Such a run has no record of a command, so its own configuration stands below the overrides."""
    folder = tmp_path / "mine"
    dgm_run.run(dgm_run.compose(*TINY, "prior=vampprior", "prior.num_components=5"), folder)
    number = "estimators.importance_sampling.num_samples=7"
    for overrides in ([], [number], ["estimators=[importance_sampling]", number.replace("7", "8")]):
        done = run_here("evaluate", [str(folder), *overrides], tmp_path, monkeypatch, capfd)
        assert done.returncode == 0, done.stderr
    assert {2, 7, 8} <= {row["settings"].get("num_samples") for row in estimates(folder)}
    done = run_here("evaluate", [str(folder), "estimators.exact.max_batch_rows=7"], tmp_path, monkeypatch, capfd)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "estimators.exact.max_batch_rows: there is no such key" in done.stderr


def test_exported_copy_is_evaluated(run, tmp_path, monkeypatch, capfd):
    folder = dgm_run.export(run, "torch", tmp_path / "copy")
    number = "estimators.importance_sampling.num_samples=7"
    done = run_here("evaluate", [str(folder), number], tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert 7 in {row["settings"].get("num_samples") for row in estimates(folder)}
