"""Exit statuses of commands, and output that cannot be written."""

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from filelock import FileLock

from dgm_run.cli import exit_status, main
from dgm_run.cli.exit_status import Outcome, _print_failed_jobs, exit_with_status, outcome
from dgm_run.distributed.signals import Interrupted
from dgm_run.report.runs import collect_runs
from tests.support import folders
from tests.support.tiny import TINY, command, run_refused, start_command

SHELL = {
    "a reader that leaves": ("{} | head -1", "standard output is lost (Broken pipe)"),
    "a full disk": ("{} >/dev/full 2>&1", "standard output is lost (No space left on device)"),
    "closed streams": ("{} >&- 2>&-", "standard error is lost (it was closed from the start)"),
    "a narrow encoding": ("PYTHONIOENCODING=ascii {} >out", None),
}


@pytest.mark.parametrize(
    "override", ["model.latent_dim=0", "data_dir=nowhere dataset=mnist dataset.source.download=false"]
)
def test_a_refused_run_leaves_no_folder(override, tmp_path, monkeypatch, capfd):
    done = run_refused([*override.split(), "hydra.run.dir=run"], tmp_path, monkeypatch, capfd)
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["run.log", ".hydra/notes.txt"])
def test_a_refused_run_keeps_an_older_folder(file, tmp_path, monkeypatch, capfd):
    """The name of the folder depends on the configuration, so the command line does not tell that it is there."""
    path = tmp_path / "runs" / "0" / file
    path.parent.mkdir(parents=True)
    path.write_text("keep")
    os.utime(path, (1e9, 1e9))
    run_refused(["model.latent_dim=0", "hydra.run.dir=runs/${seed}"], tmp_path, monkeypatch, capfd)
    assert path.read_text() == "keep"


def test_why_run_has_failed_kept_in_folder(tmp_path, monkeypatch, capfd):
    (tmp_path / "run").mkdir()
    done = run_refused(["model.latent_dim=0", "hydra.run.dir=run"], tmp_path, monkeypatch, capfd)
    assert (tmp_path / "run" / "error.txt").read_text() == done.stderr
    assert [run.state for run in collect_runs(tmp_path)] == ["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("case", SHELL)
def test_lost_output_ends_no_run(case, tmp_path):
    line, lost = SHELL[case]
    steps = ("trainer.max_epochs=3", *TINY, "hydra.run.dir=run")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line.format(shlex.join(command(*steps)))}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "results.json").exists()
    log = (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert "± s.e." in log
    assert (lost or "epoch 1/1") in log
    if not lost:
        assert "+- s.e." in (tmp_path / "out").read_text(encoding="ascii")


def test_full_disk_ends_no_run(tmp_path):
    with start_command(*TINY, "hydra.run.dir=run", cwd=tmp_path, output="/dev/full") as process:
        process.join(60)
    assert process.exitcode == 0
    assert (tmp_path / "run" / "results.json").exists()
    log = (tmp_path / "run" / "run.log").read_text(encoding="utf-8")
    assert "± s.e." in log
    assert "standard output is lost (No space left on device)" in log


def test_a_list_that_nobody_reads_ends_as_is_usual(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as gone, pytest.raises(SystemExit) as ended:
        monkeypatch.setattr(sys, "stdout", gone)
        monkeypatch.setattr(sys, "argv", ["dgm-run", "--experiments"])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which the command changes
        for name in ("run_folders", "sweep_folders"):
            monkeypatch.setattr(outcome, name, [])
        try:
            main.main()
        finally:
            os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # what is still buffered
    assert ended.value.code == 128 + signal.SIGPIPE


def test_report_written_though_nobody_reads(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-5.0)])
    code = "from dgm_run.cli.main import report; report()"
    line = shlex.join([sys.executable, "-c", code, "."])
    for to, status, said in (("| true", 141, ""), (">/dev/full", 1, "cannot write to standard output: No space left")):
        (tmp_path / "report.html").unlink(missing_ok=True)
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line} {to}"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == status
        assert done.stderr.startswith(said)
        assert "Traceback" not in done.stderr
        assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("is_alive", [True, False])
def test_trial_of_live_worker_is_no_failure(is_alive, tmp_path, monkeypatch, capfd):
    """A worker that ends before another one must not call that one's trial failed."""
    monkeypatch.setattr(outcome, "has_failed", False)
    monkeypatch.setattr(outcome, "sweep_folders", [tmp_path])
    (tmp_path / "0" / ".hydra").mkdir(parents=True)
    (tmp_path / "0" / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    trial = {"number": 0, "state": "running", "params": {"seed": "1"}, "values": None}
    content = {"objectives": {"best": "maximize"}, "best": [], "trials": [trial]}
    (tmp_path / "search.json").write_text(json.dumps(content))
    (tmp_path / "multirun.yaml").touch()
    lock = FileLock(tmp_path / ".worker_1.lock")
    lock.acquire()
    if not is_alive:
        lock.release()
    _print_failed_jobs()
    assert outcome.has_failed is not is_alive
    assert ("failed jobs:" in capfd.readouterr().err) is not is_alive
    lock.release()


def stop_sweep(folder, monkeypatch, capsys, error):
    """Stops a sweep of a finished, a failed and an unfinished job; returns the lines on standard error."""
    for job, file in enumerate(("results.json", "error.txt", "run.log")):
        (folder / str(job) / ".hydra").mkdir(parents=True)
        (folder / str(job) / ".hydra" / "overrides.yaml").write_text(f"- seed={job}\n")
        (folder / str(job) / file).write_text("the reason")
    monkeypatch.setattr(exit_status, "outcome", Outcome(sweep_folders=[folder]))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which the command changes

    def work():
        raise error

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended:
        exit_with_status(work)
    signal.signal(signal.SIGINT, handler)
    assert ended.value.code == 130
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("error", [Interrupted(2, "stopped, to resume: ..."), KeyboardInterrupt()])
def test_a_job_stopped_by_ctrl_c_has_not_failed(error, tmp_path, monkeypatch, capsys):
    lines = stop_sweep(tmp_path, monkeypatch, capsys, error)
    assert [line for line in lines if line.startswith("job ")] == ["job 1 (seed=1): the reason"]
    assert lines[-1] == f"to run the missing jobs: dgm-run sweep.resume={tmp_path}"
