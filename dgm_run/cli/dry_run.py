"""`sweep.dry_run=true`: the jobs of a sweep, each composed and checked as far as that needs no data; none is run."""

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

from dgm_run.cli.arguments import config_folders, parse_options
from dgm_run.cli.hydra_errors import compose_arguments, describe
from dgm_run.config.commands import folder_of, key_of, quote
from dgm_run.config.compose import conf_dir
from dgm_run.errors import ConfigError, UserError

KEY = "sweep.dry_run="


def is_dry_run(arguments: Sequence[str]) -> bool:
    """Returns whether the command line asks for a dry run.

    Raises:
        ConfigError: the value is neither true nor false.
    """
    values = [argument.removeprefix(KEY) for argument in arguments if argument.startswith(KEY)]
    if values and values[-1] not in ("true", "false"):
        raise ConfigError(f"{KEY}{values[-1]}: write {KEY}true or {KEY}false")
    return bool(values) and values[-1] == "true"


def without_dry_run(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments that are Hydra's."""
    return [argument for argument in arguments if not argument.startswith(KEY)]


def dry_run(arguments: Sequence[str]) -> bool:
    """Prints what a command would run, with what would be refused beside it.

    Args:
        arguments: the command line, without `sweep.dry_run`.

    Returns:
        Whether a job of a sweep would be refused.

    Raises:
        ConfigError: the sweep cannot be read, or the only run would be refused.
    """
    options = parse_options(arguments)
    folders = config_folders(options)
    of_hydra = [each for each in options.overrides if _is_of_hydra(each)]
    of_runs = [each for each in options.overrides if not _is_of_hydra(each)]
    settings = _hydra_settings(of_hydra, folders)
    if not (options.multirun or "hydra.mode=MULTIRUN" in of_hydra):
        _check(of_runs, folders)
        sys.stdout.write("this run would start; nothing was run\n")
        return False
    if not str(settings.sweeper._target_).endswith("BasicSweeper"):
        name = str(settings.sweeper._target_).rpartition(".")[2]
        sys.stdout.write(f"{name} decides on each job by the results of those before: there is no list of jobs\n")
        return False
    params = [f"{key}={value}" for key, value in (settings.sweeper.params or {}).items()]
    return _list_jobs(_split([*params, *of_runs], folders), _sweep_folder(of_hydra), folders)


def _list_jobs(jobs: list[list[str]], sweep: Path | None, folders: Sequence[Path]) -> bool:
    common = [each for each in jobs[0] if all(each in job for job in jobs)] if len(jobs) > 1 else []
    with_all = f", all with {' '.join(common)}" if common else ""
    sys.stdout.write(f"{len(jobs)} {'job' if len(jobs) == 1 else 'jobs'}{with_all}:\n")
    num_refused = 0
    for number, job in enumerate(jobs):
        line = f"{number}  {' '.join(each for each in job if each not in common) or 'no overrides'}"
        if sweep and (sweep / str(number) / "results.json").exists():
            line += ": it has results already"
        elif refusal := _refusal(job, folders):
            num_refused += 1
            line += f": refused: {refusal}"
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{num_refused or 'none'} would be refused; nothing was run\n")
    return num_refused > 0


def _refusal(overrides: Sequence[str], folders: Sequence[Path]) -> str | None:
    """Returns why a run with these overrides would be refused before it loads data."""
    try:
        _check(overrides, folders)
    except UserError as error:
        return str(error)
    return None


def _check(overrides: Sequence[str], folders: Sequence[Path]) -> None:
    from dgm_run.runner.assemble import check  # imports torch

    check(compose_arguments(overrides, folders))


def _split(overrides: Sequence[str], folders: Sequence[Path]) -> list[list[str]]:
    """Returns the overrides of each job, as Hydra's own sweeper makes them."""
    search = create_config_search_path(str(conf_dir()))
    for folder in folders:
        search.append("command-line", f"file://{folder.absolute()}")
    parser = OverridesParser.create(config_loader=ConfigLoaderImpl(config_search_path=search))
    try:
        jobs = BasicSweeper.split_arguments(parser.parse_overrides(list(overrides)), None)[0]
    except HydraException as error:
        raise ConfigError(describe(error, overrides, folders)) from error
    if not jobs:
        raise ConfigError("the sweep has no job: a list or a glob() is empty")
    return jobs


def _hydra_settings(overrides: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    search = [f"hydra.searchpath=[{quote(f'file://{folder.absolute()}')}]" for folder in folders]
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return hydra.compose("config", overrides=[*overrides, *search], return_hydra_config=True).hydra
    except HydraException as error:
        raise ConfigError(describe(error, overrides, folders)) from error


def _sweep_folder(overrides: Sequence[str]) -> Path | None:
    found = [folder_of(each) for each in overrides if key_of(each) == "hydra.sweep.dir"]
    return found[-1] if found else None


def _is_of_hydra(override: str) -> bool:
    return override.lstrip("+~").startswith(("hydra.", "hydra/"))
