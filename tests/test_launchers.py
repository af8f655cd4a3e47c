"""Sweeps by launchers of Hydra, each run for real on this machine."""

import importlib.util
import json
import os
import subprocess

import pytest

from dgm_run import compose, run
from tests.support import tiny
from tests.support.tiny import TINY, command

KILLER = """
import os, signal

def schedule(optimizer, **settings):
    os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out
"""


def launcher_case(name, *marks):
    missing = importlib.util.find_spec(f"hydra_plugins.hydra_{name.partition('_')[0]}_launcher") is None
    skip = pytest.mark.skipif(missing, reason=f"hydra-{name.partition('_')[0]}-launcher is missing")
    return pytest.param(name, marks=(skip, *marks))


LAUNCHERS = [
    launcher_case("joblib", pytest.mark.slow),
    launcher_case("submitit_local", pytest.mark.slow),
    launcher_case("ray", pytest.mark.slow),
]


def dgm_run(*arguments, cwd):
    """The command; launchers start processes of their own, and are not to be children of a fork."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def finished_jobs(folder):
    return sorted(path.parent.name for path in folder.glob("*/results.json"))


SWEEP = ("objective=renyi", "objective.alpha=0.5,nan,0.2", *TINY, "hydra.sweep.dir=sweep")


@launcher_case("joblib").marks[0]
def test_a_launcher_runs_jobs_in_one_process(tmp_path):
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=1")
    check_sweep(tiny.dgm_run("-m", *launcher, *SWEEP, cwd=tmp_path), tmp_path)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_run_jobs(launcher, tmp_path):
    check_sweep(dgm_run("-m", f"hydra/launcher={launcher}", *SWEEP, cwd=tmp_path), tmp_path)


def check_sweep(done, tmp_path):
    """Checks that the job that failed is named, and that the others are as by themselves."""
    assert done.returncode == 1
    assert finished_jobs(tmp_path / "sweep") == ["0", "2"]
    failures = done.stderr.rpartition("failed jobs:")[2]
    assert "job 1 (objective.alpha=nan): objective.alpha = nan" in failures  # and nothing of what all jobs have
    assert f"to compare the runs: dgm-report {tmp_path / 'sweep'}" in done.stdout
    assert f"dgm-run sweep.resume={tmp_path / 'sweep'}" in failures
    run(compose("objective=renyi", "objective.alpha=0.2", *TINY), tmp_path / "alone")
    rows = [json.loads((tmp_path / path / "results.json").read_text())["estimates"] for path in ("alone", "sweep/2")]
    by_itself, in_sweep = ([row["value"] for row in each] for each in rows)
    assert in_sweep == by_itself


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_killed_job_is_rerun_alone(launcher, tmp_path):
    (tmp_path / "mine.py").write_text(KILLER)
    kept = "torch.optim.lr_scheduler.ConstantLR"
    sweep = (
        "-m",
        f"hydra/launcher={launcher}",
        f"schedule._target_={kept},mine.schedule",
        *TINY,
        "hydra.sweep.dir=sweep",
    )
    done = dgm_run(*sweep, cwd=tmp_path)
    assert done.returncode == 1
    if launcher != "joblib":  # whose pool dies with its worker
        assert finished_jobs(tmp_path / "sweep") == ["0"]
        assert "job 1 (" in done.stderr.rpartition("failed jobs:")[2]
    sweep_folder = tmp_path / "sweep"
    before = {name: (sweep_folder / name / "results.json").read_bytes() for name in finished_jobs(sweep_folder)}
    (tmp_path / "mine.py").write_text("from torch.optim.lr_scheduler import ConstantLR as schedule\n")
    again = dgm_run("sweep.resume=sweep", "--package", "mine", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    plugin = f"{launcher.partition('_')[0]}_launcher"
    assert plugin in (tmp_path / "sweep" / "multirun.yaml").read_text()  # by the same launcher
    assert finished_jobs(tmp_path / "sweep") == ["0", "1"]
    for name, content in before.items():
        assert (tmp_path / "sweep" / name / "results.json").read_bytes() == content
