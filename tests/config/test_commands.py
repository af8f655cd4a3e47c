import os
import shlex
from pathlib import Path

from dgm_run.config.commands import evaluate_run, report_runs, resume_run, resume_sweep, sample_run, show_runs
from dgm_run.config.own_code import OwnCode


def test_commands_hold_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("-run $1")
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("[]")
    whole = str(tmp_path / folder)
    own = OwnCode(None, ("mine",))
    assert shlex.split(resume_run(folder, ["seed=1"], own)) == [
        *("dgm-run", "--package", "mine", "seed=1"),
        f"trainer.resume='{whole}'",
    ]
    assert shlex.split(resume_sweep(folder, OwnCode())) == ["dgm-run", f"sweep.resume='{whole}'"]
    assert shlex.split(evaluate_run(folder, ["a=1"])) == ["dgm-eval", whole, "a=1"]
    assert shlex.split(sample_run(folder, ["n=3"])) == ["dgm-sample", whole, "n=3"]
    assert shlex.split(report_runs(folder)) == ["dgm-report", whole]
    assert shlex.split(show_runs(folder)) == ["tensorboard", "--logdir", whole]


def test_a_run_of_python_goes_on_in_python(tmp_path):
    (tmp_path / ".hydra").mkdir()
    assert resume_run(tmp_path) == f"dgm_run.run(cfg, {os.fspath(tmp_path)!r}) in Python, with " + (
        "trainer.resume=auto"
    )
