"""Dry runs, `sweep.dry_run=true`: lists the jobs of a sweep and checks each, without running it or reading data."""

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from dgm_run.cli.arguments import find_config_folders, parse_options
from dgm_run.config.compose import compose
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.hydra_errors import DRY_RUN, describe_hydra_error
from dgm_run.config.overrides import quote, read_folder, read_key
from dgm_run.errors import ConfigError, UserError

DRY_RUN_PREFIX = f"{DRY_RUN}="


def is_dry_run(arguments: Sequence[str]) -> bool:
    """Returns whether the command line asks for a dry run.

    Raises:
        ConfigError: the value is neither true nor false.
    """
    values = [argument.removeprefix(DRY_RUN_PREFIX) for argument in arguments if argument.startswith(DRY_RUN_PREFIX)]
    if values and values[-1] not in ("true", "false"):
        raise ConfigError(f"{DRY_RUN_PREFIX}{values[-1]}: write {DRY_RUN_PREFIX}true or {DRY_RUN_PREFIX}false")
    return bool(values) and values[-1] == "true"


def drop_dry_run(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments without `sweep.dry_run`, which Hydra does not know."""
    return [argument for argument in arguments if not argument.startswith(DRY_RUN_PREFIX)]


def dry_run(arguments: Sequence[str]) -> bool:
    """Prints the jobs that a command would run, and the reason for each job that would be refused.

    Args:
        arguments: command line, without `sweep.dry_run`.

    Returns:
        True if a job of a sweep would be refused.

    Raises:
        ConfigError: the sweep cannot be read, or the only run would be refused.
    """
    options = parse_options(arguments)
    folders = find_config_folders(options)
    hydra_overrides = [each for each in options.overrides if _is_hydra_override(each)]
    run_overrides = [each for each in options.overrides if not _is_hydra_override(each)]
    settings = _compose_hydra_settings(hydra_overrides, folders)
    if not (options.multirun or "hydra.mode=MULTIRUN" in hydra_overrides):
        _check_run(run_overrides, folders)
        sys.stdout.write("this run would start; nothing was run\n")
        return False
    if not str(settings.sweeper._target_).endswith("BasicSweeper"):
        name = str(settings.sweeper._target_).rpartition(".")[2]
        sys.stdout.write(f"{name} chooses each job by earlier results: there is no list of jobs\n")
        return False
    params = [f"{key}={value}" for key, value in (settings.sweeper.params or {}).items()]
    return _print_jobs(_split_jobs([*params, *run_overrides], folders), _find_sweep_folder(hydra_overrides), folders)


def _print_jobs(jobs: list[list[str]], sweep: Path | None, folders: Sequence[Path]) -> bool:
    """Prints a line for each job; returns whether one of them would be refused."""
    common = [each for each in jobs[0] if all(each in job for job in jobs)] if len(jobs) > 1 else []
    with_all = f", all with {' '.join(common)}" if common else ""
    sys.stdout.write(f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}{with_all}:\n")
    num_refused = 0
    for number, job in enumerate(jobs):
        line = f"{number}  {' '.join(each for each in job if each not in common) or 'no overrides'}"
        if sweep and (sweep / str(number) / "results.json").exists():
            line += ": has results already"
        elif refusal := _find_refusal(job, folders):
            num_refused += 1
            line += f": refused: {refusal}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{num_refused or 'none'} would be refused; nothing was run\n")
    return num_refused > 0


def _find_refusal(overrides: Sequence[str], folders: Sequence[Path]) -> str | None:
    """Returns why a run with these overrides would be refused before it loads data; None if it would start."""
    try:
        _check_run(overrides, folders)
    except UserError as error:
        return str(error)
    return None


def _check_run(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    from dgm_run.runner.assemble import check_config  # imports torch

    check_config(compose(*overrides, config_dir=folders[0] if folders else None))


def _split_jobs(overrides: Sequence[str], folders: Sequence[Path]) -> list[list[str]]:
    """Returns the overrides of each job, as Hydra's basic sweeper makes them."""
    search = create_config_search_path(str(conf_dir()))
    for folder in folders:
        search.append("command-line", f"file://{folder.absolute()}")
    parser = OverridesParser.create(config_loader=ConfigLoaderImpl(config_search_path=search))
    try:
        jobs = BasicSweeper.split_arguments(parser.parse_overrides(list(overrides)), None)[0]
    except HydraException as error:
        raise ConfigError(describe_hydra_error(error, overrides, folders)) from error
    if not jobs:
        raise ConfigError("the sweep has no job: a list or a glob() is empty")
    return jobs


def _compose_hydra_settings(overrides: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    search = [f"hydra.searchpath=[{quote(f'file://{folder.absolute()}')}]" for folder in folders]
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra.compose("config", overrides=[*overrides, *search], return_hydra_config=True).hydra
    except HydraException as error:
        raise ConfigError(describe_hydra_error(error, overrides, folders)) from error


def _find_sweep_folder(overrides: Sequence[str]) -> Path | None:
    folders = [read_folder(each) for each in overrides if read_key(each) == "hydra.sweep.dir"]
    return folders[-1] if folders else None


def _is_hydra_override(override: str) -> bool:
    """Returns whether an override sets Hydra alone, as the ranges of a search do."""
    return override.lstrip("+~").startswith(("hydra.", "hydra/", "hparams_search="))
