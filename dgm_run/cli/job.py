"""Carries out one job of `dgm-run`: a single run, or a run of a sweep."""

import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from dgm_run.cli.exit_status import ONE_LINE_ERRORS, outcome
from dgm_run.cli.resume import find_config_dir
from dgm_run.cli.run_commands import describe_failed_estimators
from dgm_run.config.commands import join_for_shell, resume_run, resume_sweep
from dgm_run.config.compose import as_dict, complete_factory, resolve_data_paths
from dgm_run.config.hydra_compose import annotate_published
from dgm_run.config.overrides import read_key, set_data_paths
from dgm_run.config.own_code import OwnCode, find_packages, list_targets, make_importable
from dgm_run.config.start import START, Start, read_start
from dgm_run.distributed.ranks import is_rank_zero
from dgm_run.errors import CheckpointError, UserError
from dgm_run.runner.run_lock import is_run_folder_locked


class SweepFolder(Callback):
    """Hydra callback that records the folder of a sweep, and carries settings of the command to every job.

    Args:
        packages: own packages that the command names.
        only_packages: whether only these packages may be built, because a run folder brings the configuration.
        networks: keys of files with a network that the command itself names.
        base: folder that relative data paths start from; None for the current one.
    """

    def __init__(self, packages: Sequence[str], only_packages: bool, networks: Sequence[str], base: str | None):
        self.packages = packages
        self.only_packages = only_packages
        self.networks = networks
        self.base = base

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        outcome.sweep_folders.append(Path(config.hydra.sweep.dir).absolute())


def run_job(cfg: DictConfig) -> None:
    """Trains and evaluates one job. In a sweep its failure is printed and kept in its folder, and others go on.

    A single run that is refused before its training leaves no folder.
    """
    hydra_cfg = cast(DictConfig, HydraConfig.get())  # Hydra declares the type of its schema
    folder = Path(hydra_cfg.runtime.output_dir)
    outcome.run_folders.append(folder)
    if is_rank_zero():
        (folder / "error.txt").unlink(missing_ok=True)  # an earlier attempt may have failed
    try:
        _train_and_evaluate(cfg, hydra_cfg, folder)
    except ONE_LINE_ERRORS as error:
        if hydra_cfg.mode == RunMode.RUN:  # if raised, Hydra would print a line of its own first
            sys.stderr.write(f"{error}\n")
            outcome.has_failed = True
            if isinstance(error, CheckpointError):  # the folder may belong to another run
                return
            if isinstance(error, UserError) and _is_new_and_unused(folder):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                _write_error_file(folder, str(error))
        elif isinstance(error, CheckpointError):  # the folder may belong to another run
            _print_job_failure(hydra_cfg, str(error))
        else:
            _note_failed_job(hydra_cfg, str(error))
    except Exception as error:
        if hydra_cfg.mode == RunMode.RUN:
            _write_error_file(folder, f"{type(error).__name__}: {error}")
            raise
        traceback.print_exc()
        _note_failed_job(hydra_cfg, f"{type(error).__name__}: {error}")


def _train_and_evaluate(cfg: DictConfig, hydra_cfg: DictConfig, folder: Path) -> None:
    """Carries out the job with absolute data paths; refuses foreign code that comes from a run folder."""
    from dgm_run.runner.run import run  # imports torch
    from dgm_run.runner.run_folder import refuse_foreign_networks, refuse_foreign_targets

    written = OmegaConf.to_container(hydra_cfg.overrides.task, resolve=False)  # interpolations stay, as in key=${other}
    assert isinstance(written, list)
    overrides: list[str] = written
    annotate_published(cfg, overrides)
    settings = hydra_cfg.callbacks.sweep_folder  # of the command: see `SweepFolder`
    base = Path(settings.base or hydra_cfg.runtime.cwd)
    own = OwnCode(find_config_dir(hydra_cfg), tuple(settings.packages))
    names = make_importable(own.packages)
    complete_factory(cfg)
    if settings.only_packages:
        refuse_foreign_targets(
            cfg, names, lambda name: _write_allowing_command(hydra_cfg, own | OwnCode(packages=(name,)))
        )
        refuse_foreign_networks(
            cfg, settings.networks, lambda network: _write_allowing_command(hydra_cfg, own, [network])
        )
    paths = resolve_data_paths(cfg, base)
    overrides = set_data_paths(overrides, paths)
    own = own | OwnCode(packages=find_packages(list_targets(OmegaConf.to_container(cfg, resolve=False)), base))
    start = asdict(Start(tuple(overrides), own))
    results = run(cfg, folder, _write_resume_command(hydra_cfg, own, overrides), start, _is_trial(hydra_cfg))
    if failed := results["failed_estimators"]:
        _note_failed_estimators(hydra_cfg, failed, folder)


def _is_trial(hydra_cfg: DictConfig) -> bool:
    """Returns whether a search with a pruner has started this job."""
    return hydra_cfg.mode == RunMode.MULTIRUN and OmegaConf.select(hydra_cfg, "sweeper.pruner") is not None


def _write_resume_command(hydra_cfg: DictConfig, own: OwnCode, overrides: list[str]) -> str:
    """Writes the command that resumes a run: its folder, own code, and overrides that its folder does not keep."""
    folder = Path(hydra_cfg.runtime.output_dir)
    is_new_run = not (folder / START).exists() and hydra_cfg.output_subdir is not None
    known = overrides if is_new_run else (read_start(folder) or Start()).overrides
    added = [each for each in overrides if each not in known and read_key(each) != "trainer.resume"]
    return resume_run(folder, added, own)


def _write_allowing_command(hydra_cfg: DictConfig, own: OwnCode, networks: Sequence[str] = ()) -> str:
    """Writes the same command with this code, and the overrides that name these networks, allowed."""
    if hydra_cfg.mode == RunMode.RUN:
        command = _write_resume_command(hydra_cfg, own, list(hydra_cfg.overrides.task))
    else:
        command = resume_sweep(Path(hydra_cfg.runtime.cwd, hydra_cfg.sweep.dir), own)
    return " ".join([command, *map(join_for_shell, networks)])


def _is_new_and_unused(folder: Path) -> bool:
    """Returns whether this command has made a folder, and has put nothing into it but what each run starts with.

    An older file shows that the folder is not new, where its name depends on the configuration.
    """
    is_new = is_rank_zero() and folder.absolute() not in outcome.older_folders
    if not is_new or is_run_folder_locked(folder):  # by a command of the same second, whose folder has the same name
        return False
    if any(path.lstat().st_mtime < outcome.started for path in folder.rglob("*")):
        return False
    return {path.name for path in folder.iterdir()} <= {".hydra", ".lock", "run.log", START}


def _note_failed_job(hydra_cfg: DictConfig, message: str) -> None:
    """Prints that a job failed, and writes the reason into its folder: the job may run on another machine."""
    _print_job_failure(hydra_cfg, message)
    _write_error_file(Path(hydra_cfg.runtime.output_dir), message)


def _note_failed_estimators(hydra_cfg: DictConfig, failed: Mapping[str, str], folder: Path) -> None:
    """Prints which estimators failed, and writes it into the folder. The run counts as failed."""
    message = describe_failed_estimators(failed, folder)
    if hydra_cfg.mode == RunMode.RUN:
        sys.stderr.write(f"{message}\n")
        outcome.has_failed = True
        _write_error_file(folder, message)
    else:
        _note_failed_job(hydra_cfg, message)


def _print_job_failure(hydra_cfg: DictConfig, message: str) -> None:
    """Prints a failure with the folder and the overrides of the job."""
    overrides = as_dict(hydra_cfg.job, resolve=False)["override_dirname"] or "no overrides"
    sys.stderr.write(f"job {Path(hydra_cfg.runtime.output_dir).name} ({overrides}): {message}\n")
    outcome.has_failed = True


def _write_error_file(folder: Path, message: str) -> None:
    """Writes the reason of a failure to error.txt, where later commands find it."""
    if not is_rank_zero():  # other processes write nothing
        return
    with suppress(OSError):  # the disk may be full
        (folder / "error.txt").write_text(f"{message}\n", encoding="utf-8", errors="replace")
