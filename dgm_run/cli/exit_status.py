"""Ends a command with its exit status; prints its error in a line, and the failed jobs of its sweeps."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeVar

from hydra.errors import CompactHydraException, HydraException
from omegaconf.errors import OmegaConfBaseException

from dgm_run.cli.arguments import find_config_folders, parse_options
from dgm_run.cli.resume import find_sweep_code
from dgm_run.config.commands import report_runs, resume_sweep
from dgm_run.config.hydra_errors import describe_hydra_error
from dgm_run.config.start import read_overrides
from dgm_run.distributed.signals import SIGPIPE, Interrupted
from dgm_run.errors import ConfigError, UserError
from dgm_run.recording.output import find_lost_streams, get_reason
from dgm_run.recording.search_record import has_live_worker, read_search

ONE_LINE_ERRORS = (UserError, HydraException, OSError)
"""Errors of the user or the system, which are printed as one line without a traceback."""

T = TypeVar("T")


@dataclass
class Outcome:
    """Record of the work of this process. It determines the exit status.

    Attributes:
        has_failed: whether a run, a job or an estimator failed.
        is_stopped: whether a signal, such as that of Ctrl-C, has stopped the command.
        started: time at which the command started, seconds since 1970.
        older_folders: run folders that the command names and that were there before it.
        run_folders: folders of the runs that this process has trained or evaluated.
        sweep_folders: folders of the sweeps that this process has started.
    """

    has_failed: bool = False
    is_stopped: bool = False
    started: float = field(default_factory=time.time)
    older_folders: list[Path] = field(default_factory=list)
    run_folders: list[Path] = field(default_factory=list)
    sweep_folders: list[Path] = field(default_factory=list)


outcome = Outcome()


def exit_with_status(work: Callable[[], object], os_error_prefix: str = "") -> NoReturn:
    """Does the work, and ends the process with its exit status. A user's error is one line on standard error.

    Args:
        work: the command.
        os_error_prefix: text before the message of an operating-system error.
    """
    has_tracebacks = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises every error, and this function prints them
    sys.path.append(os.getcwd())  # a user's own package, as in _target_: my_package.MyPrior
    try:
        work()
    except Interrupted as stop:
        outcome.is_stopped = True
        with suppress(ValueError):  # another Ctrl-C would only disturb the end; fails outside the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write(f"{stop.message}\n")
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        outcome.is_stopped = True
        sys.exit(128 + signal.SIGINT)
    except (*ONE_LINE_ERRORS, OmegaConfBaseException) as error:
        if has_tracebacks:
            raise
        outcome.has_failed = True
        _remove_unstarted_sweeps()
        sys.stderr.write(f"{_describe_error(error, os_error_prefix)}\n")
    finally:
        _print_failed_jobs()
    sys.stdout.flush()
    _exit_if_output_is_lost()
    sys.exit(1 if outcome.has_failed else 0)


def _describe_error(error: Exception, os_error_prefix: str) -> str:
    """Describes an error of the user or the system in one line."""
    is_os_error = isinstance(error, OSError) and not isinstance(error, CompactHydraException)  # some are both
    prefix = os_error_prefix if is_os_error else ""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return prefix + describe_hydra_error(error, sys.argv[1:], _find_own_folders())
    return f"{prefix}{error}"


def _exit_if_output_is_lost() -> None:
    """Ends a command that only prints with the status of its lost output. A run or a sweep ends by its own status."""
    lost = find_lost_streams().get("standard output")
    if not lost or outcome.has_failed or outcome.run_folders or outcome.sweep_folders:
        return
    if isinstance(lost, BrokenPipeError):
        sys.exit(128 + SIGPIPE)
    sys.exit(f"cannot write to standard output: {get_reason(lost)}")


def exit_if_refused(check: Callable[[], T]) -> T:
    """Returns the value of a check, or ends the process with its message."""
    try:
        return check()
    except UserError as error:
        sys.exit(str(error))


def _remove_unstarted_sweeps() -> None:
    """Removes the folders of sweeps that Hydra refused after it wrote their configuration."""
    if "trainer.resume=auto" in sys.argv:  # the folder is older than this command
        return
    for sweep in list(outcome.sweep_folders):
        left = list(sweep.iterdir()) if sweep.is_dir() else []
        if all(path.name == "multirun.yaml" or path.name.startswith((".search", ".worker")) for path in left):
            outcome.sweep_folders.remove(sweep)
            for path in left:
                path.unlink()
            with suppress(OSError):
                sweep.rmdir()


def _find_own_folders() -> list[Path]:
    """Returns the user's own configuration folders; none for a command that takes none."""
    with suppress(ConfigError):
        return find_config_folders(parse_options(sys.argv[1:]))
    return []


def _print_failed_jobs() -> None:
    """Prints the failed jobs of each sweep with their reasons, and the command that compares its runs."""
    for sweep in outcome.sweep_folders:
        files = sorted(sweep.glob("*/.hydra/overrides.yaml"), key=lambda path: (len(path.parts[-3]), path))
        jobs = {file.parent.parent: read_overrides(file.parent.parent) or [] for file in files}
        common = set.intersection(*map(set, jobs.values())) if len(jobs) > 1 else set()
        search = read_search(sweep)
        trials = {str(trial.number): trial.state for trial in search.trials} if search else {}
        is_shared = has_live_worker(sweep)
        lines = []
        is_any_stopped = False
        for folder, overrides in jobs.items():
            if is_shared and trials.get(folder.name) == "running":
                continue  # another worker is at it, or takes it over
            if outcome.is_stopped and _is_unfinished(folder) and trials.get(folder.name) != "fail":
                is_any_stopped = True  # by this command's own signal, whose message tells of it
            elif reason := _describe_failure(folder, can_resume=trials.get(folder.name) != "fail"):
                varied = ",".join(each for each in overrides if each not in common) or "no overrides"
                lines.append(f"job {folder.name} ({varied}): {reason}")
        if lines:
            outcome.has_failed = True
            lines = ["failed jobs:", *lines]
        if (lines or is_any_stopped) and (not trials or "running" in trials.values()):
            lines.append(f"to run the missing jobs: {resume_sweep(sweep, find_sweep_code(sweep))}")
        sys.stderr.writelines(f"{line}\n" for line in lines)
        sys.stdout.write(f"to compare the runs: {report_runs(sweep)}\n")


def _is_unfinished(folder: Path) -> bool:
    """Returns whether a job has neither results nor a failure."""
    return not any((folder / name).exists() for name in ("results.json", "error.txt"))


def _describe_failure(folder: Path, can_resume: bool) -> str | None:
    """Returns why a job has no results, or why its last evaluation failed; None if it succeeded."""
    with suppress(OSError):
        return (folder / "error.txt").read_text(encoding="utf-8", errors="replace").strip()
    if (folder / "results.json").exists():
        return None
    if not can_resume:  # a search does not run a failed trial again
        return "stopped, killed, or out of memory"
    if (folder / "checkpoints" / "last").is_dir():
        return "stopped, killed, or out of memory; it resumes from its checkpoint"
    return "stopped, killed, or out of memory before its first checkpoint"
