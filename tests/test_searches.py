"""Searches by Optuna, each run for real on this machine."""

import importlib.util
import json
import os
import signal
import time

import pytest

from dgm_run.runner.results import read
from tests.support import tiny
from tests.support.tiny import TINY, start_command
from tests.test_launchers import KILLER, LAUNCHERS, dgm_run

SEARCH = ("-m", "hydra/sweeper=optuna", *TINY, "hydra.sweep.dir=sweep")
LEARNING_RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"


def read_trials(folder):
    return json.loads((folder / "search.json").read_text())["trials"]


def read_best(folder, trial):
    return read(folder / str(trial["number"]) / "results.json")["training"]["best"]


def test_failed_trial_is_told_as_failed(tmp_path):
    arguments = ("objective=renyi", "objective.alpha=choice(nan,0.5)", "hydra.sweeper.sampler.seed=2")
    done = tiny.dgm_run(*SEARCH, *arguments, "hydra.sweeper.n_trials=2", cwd=tmp_path)
    folder = tmp_path / "sweep"
    trials = read_trials(folder)
    failed = [trial for trial in trials if trial["params"]["objective.alpha"] == "nan"]
    assert {trial["state"] for trial in failed} == {"fail"}
    assert {trial["values"] for trial in failed} == {None}
    others = [trial for trial in trials if trial not in failed]
    assert len(failed) == len(others) == 1
    assert [trial["values"] for trial in others] == [[read_best(folder, trial)] for trial in others]
    assert done.returncode == 1
    assert "objective.alpha=nan): objective.alpha = nan must be a number" in done.stderr.rpartition("failed jobs:")[2]
    best = max(others, key=lambda trial: trial["values"])
    assert f"best trial:\n  {best['number']}: best={best['values'][0]:.6g} with objective.alpha=0.5" in done.stdout
    again = tiny.dgm_run("sweep.resume=sweep", cwd=tmp_path)
    assert again.returncode == 1
    assert read_trials(folder) == trials


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unstopped")
    done = dgm_run(*SEARCH, *STOPPED, cwd=folder)
    assert done.returncode == 0, done.stderr
    return read_trials(folder / "sweep")


STOPPED = (
    *(LEARNING_RATE, "seed=choice(0,1)", "hydra.sweeper.n_trials=5", "hydra.sweeper.sampler.n_startup_trials=2"),
    *("trainer.max_epochs=120", "trainer.checkpoint_seconds=0.2"),
)


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_stopped_search_equals_an_unstopped_one(signum, storage, unstopped, tmp_path):
    folder = tmp_path / "sweep"
    with start_command(*SEARCH, *STOPPED, f"hydra.sweeper.storage={storage}", cwd=tmp_path) as process:
        wait_for(folder / "3" / "checkpoints" / "last")
        os.kill(process.pid, signum)
        process.join(60)
    assert process.exitcode == (130 if signum == signal.SIGINT else -signum)
    before = read_trials(folder)
    assert [trial["state"] for trial in before] == ["complete"] * 3 + ["running"]
    done = dgm_run("sweep.resume=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trials of the search: 3 complete, 1 running, 5 in all\n" in done.stdout
    assert "resuming after step" in (folder / "3" / "run.log").read_text()
    assert read_trials(folder) == unstopped


def wait_for(path):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.05)


@pytest.mark.slow
def test_two_workers_share_one_search(tmp_path):
    folder = tmp_path / "sweep"
    arguments = (LEARNING_RATE, "hydra.sweeper.n_trials=6", "trainer.max_epochs=150")
    with start_command(*SEARCH, *arguments, cwd=tmp_path) as first:
        wait_for(folder / "search.json")
        second = dgm_run("sweep.resume=sweep", cwd=tmp_path)
        first.join(120)
    assert (first.exitcode, second.returncode) == (0, 0), (tmp_path / "stderr").read_text() + second.stderr
    trials = read_trials(folder)
    assert [(trial["number"], trial["state"]) for trial in trials] == [(i, "complete") for i in range(6)]
    assert [trial["values"] for trial in trials] == [[read_best(folder, trial)] for trial in trials]
    started = [text.count("writing to") for text in ((tmp_path / "stdout").read_text(), second.stdout)]
    assert sum(started) == 6
    assert min(started) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("pruner", "processes"), [("median", 1), ("hyperband", 1), ("median", 2)])
def test_pruner_ends_poor_trials_within_their_runs(pruner, processes, tmp_path):
    settings = {"median": ("hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.pruner.n_warmup_steps=2")}
    arguments = (LEARNING_RATE, "hydra.sweeper.n_trials=9", "trainer.max_epochs=9", f"hydra/sweeper/pruner={pruner}")
    arguments += (f"trainer.devices={processes}",)
    done = dgm_run(*SEARCH, *arguments, *settings.get(pruner, ()), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "sweep"
    trials = read_trials(folder)
    trainings = [read(folder / str(trial["number"]) / "results.json")["training"] for trial in trials]
    pruned = [training["epochs"] for training in trainings if training["stopped_by"] == "pruning"]
    assert pruned
    assert max(pruned) < 9
    states = [{"pruning": "pruned"}.get(training["stopped_by"], "complete") for training in trainings]
    assert [trial["state"] for trial in trials] == states
    best = max(range(9), key=lambda i: trainings[i]["best"])
    assert json.loads((folder / "search.json").read_text())["best"] == [best]


@pytest.mark.slow
def test_two_objectives_have_a_picture_in_the_report(tmp_path):
    arguments = ("model.latent_dim=choice(1,2,4,8)", "hydra.sweeper.n_trials=6", "hydra/sweeper/sampler=random")
    arguments += ("+hydra.sweeper.objectives.parameters=minimize",)
    done = dgm_run(*SEARCH, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    points = {trial["number"]: trial["values"] for trial in read_trials(tmp_path / "sweep")}
    front = [
        number
        for number, (best, size) in points.items()
        if not any(b >= best and s <= size and [b, s] != [best, size] for b, s in points.values())
    ]
    assert f"Pareto front, {len(front)} of the trials:" in done.stdout
    report = tiny.run_command("report", "sweep", cwd=tmp_path)
    assert "## Search: Pareto front" in report.stdout
    page = (tmp_path / "sweep" / "report.html").read_text()
    assert page.count('fill="#1f77b4"') == len(front)
    assert page.count("<title>trial ") == 6


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_run_trials_at_once(launcher, tmp_path):
    jobs = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=4", f"hydra/launcher={launcher}")
    done = dgm_run(*SEARCH, LEARNING_RATE, *jobs, "hydra/sweeper/pruner=median", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "sweep"
    trials = read_trials(folder)
    assert [trial["values"] for trial in trials] == [[read_best(folder, trial)] for trial in trials]
    assert len(trials) == 4


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_submitit_launcher") is None, reason="needs the launcher submitit"
)
def test_search_goes_on_where_a_run_is_killed(tmp_path):
    (tmp_path / "mine.py").write_text(KILLER)
    kept = "torch.optim.lr_scheduler.ConstantLR"
    arguments = (f"schedule._target_=choice({kept},mine.schedule)", "hydra.sweeper.n_trials=4")
    arguments += ("hydra/launcher=submitit_local", "hydra/sweeper/sampler=random")
    done = dgm_run(*SEARCH, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    states = {trial["params"]["schedule._target_"]: trial["state"] for trial in read_trials(tmp_path / "sweep")}
    assert states == {kept: "complete", "mine.schedule": "fail"}
    assert len(read_trials(tmp_path / "sweep")) == 4


@pytest.mark.slow
def test_example_of_a_search_runs(tmp_path):
    small = ("hydra.sweeper.n_trials=1", *TINY, "model.latent_dim=choice(2,3)", "encoder.hidden_dims=choice([4],[8])")
    done = dgm_run("-m", "+hparams_search=vae", *small, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (trial,) = read_trials(tmp_path / "sweep")
    assert set(trial["params"]) == {"optimizer.lr", "prior", "model.latent_dim", "encoder.hidden_dims"}
