"""Writes the commands that messages advise. They have absolute paths, so that bash runs them in any folder."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dgm_run.config.overrides import read_key, write_override
from dgm_run.config.own_code import NO_OWN_CODE, OwnCode
from dgm_run.config.start import Start, read_start


def join_for_shell(*words: str | os.PathLike) -> str:
    """Joins words to a command for bash."""
    return shlex.join(os.fspath(word) for word in words)


def resume_run(folder: Path, overrides: Sequence[str] = (), own: OwnCode = NO_OWN_CODE) -> str:
    """Writes the command that resumes a run.

    Args:
        folder: folder of the run.
        overrides: further overrides.
        own: code that the command names, in addition to the code of the run.
    """
    start = read_start(folder)
    if start is None and (folder / ".hydra").is_dir():
        return f"dgm_run.run(cfg, {os.path.abspath(folder)!r}) in Python, with trainer.resume=auto"
    own = own | start.own if start else own
    return join_for_shell(
        "dgm-run", *own.options, *overrides, write_override("trainer.resume", os.path.abspath(folder))
    )


def resume_sweep(folder: Path, own: OwnCode) -> str:
    """Writes the command that runs the missing jobs of a sweep."""
    return join_for_shell("dgm-run", *own.options, write_override("sweep.resume", os.path.abspath(folder)))


def evaluate_run(folder: Path, overrides: Sequence[str] = (), own: OwnCode = NO_OWN_CODE) -> str:
    """Writes the command that evaluates a run again."""
    start = read_start(folder)
    own = own | start.own if start else own
    return join_for_shell("dgm-eval", *own.options, os.path.abspath(folder), *overrides)


def run_estimators(folder: Path, names: Sequence[str], data: Sequence[str] = ()) -> str:
    """Writes the command that runs some estimators of a run again, with their settings.

    Args:
        folder: folder of the run.
        names: names of the estimators.
        data: overrides that choose other data.
    """
    chosen = tuple(f"estimators.{name}." for name in names)
    settings = [each for each in (read_start(folder) or Start()).overrides if read_key(each).startswith(chosen)]
    return evaluate_run(folder, [*data, f"estimators=[{','.join(names)}]", *settings])


def sample_run(folder: Path, settings: Sequence[str] = (), own: OwnCode = NO_OWN_CODE) -> str:
    """Writes the command that draws from the model of a run."""
    return join_for_shell("dgm-sample", *own.options, os.path.abspath(folder), *settings)


def report_runs(folder: Path) -> str:
    """Writes the command that compares the runs in a folder."""
    return join_for_shell("dgm-report", os.path.abspath(folder))


def show_runs(folder: Path) -> str:
    """Writes the command that shows the runs in a folder in TensorBoard."""
    return join_for_shell("tensorboard", "--logdir", os.path.abspath(folder))
