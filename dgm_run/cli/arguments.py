"""Checks the command line before a configuration is composed: options, and the form of overrides."""

import math
import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException, OverrideParseException

from dgm_run.config.hydra_errors import SEARCH, describe_syntax, describe_unknown_option, list_choices
from dgm_run.config.overrides import read_key
from dgm_run.config.schema import GROUPS, LIST_GROUPS, NESTED_LIST_GROUPS, PARTS
from dgm_run.errors import ConfigError

MAX_JOBS = 100_000
"""Largest number of jobs of a sweep, which Hydra lists in memory."""

SHELL_COMMANDS = ("install", "uninstall", "query")


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses options that do not go together and overrides that cannot be read.

    Raises:
        ConfigError: one line that names the argument and what to write instead.
    """
    options = parse_options(arguments)
    _check_options(options)
    if options.shell_completion:
        return
    check_overrides(options.overrides)
    keys = [read_key(each) for each in options.overrides]
    if "hparams_search" in keys and not options.multirun and options.cfg is None:
        raise ConfigError("hparams_search: a search has many runs: add -m")


def check_overrides(overrides: Sequence[str]) -> None:
    """Refuses overrides that cannot be read, and groups without the name of a choice.

    Raises:
        ConfigError: one line that names the override and what to write instead.
    """
    num_jobs = 1
    for override in parse_overrides(overrides):
        _check_override(override)
        num_jobs *= _count_values(override)
    if num_jobs > MAX_JOBS and SEARCH not in overrides:
        raise ConfigError(f"the sweep has {num_jobs:,} jobs, more than {MAX_JOBS:,}: take fewer values")


def defer_values(overrides: Sequence[str]) -> list[str]:
    """Writes KEY=VALUE as KEY=choice(VALUE) where a sweep chooses parts, so that only its jobs read the key.

    Hydra composes a sweep before its jobs, without the parts that it sweeps over, and refuses the keys of those.
    """
    parsed = parse_overrides(overrides)
    if SEARCH in overrides or not any(each.is_sweep_override() and _is_group(each) for each in parsed):
        return list(overrides)
    return [_defer(each) for each in parsed]


def _defer(override: Override) -> str:
    line = str(override.input_line)
    is_change = not (override.is_add() or override.is_force_add() or override.is_delete())
    key = str(override.key_or_group)
    if not is_change or override.is_sweep_override() or "." not in key or key.startswith("hydra."):
        return line
    name, _, value = line.partition("=")
    # choice() takes no null, and makes text of an interpolation
    return line if override.value() in (None, "") or "${" in value else f"{name}=choice({value})"


def _is_group(override: Override) -> bool:
    key = str(override.key_or_group)
    return key in GROUPS or key in ("experiment", "hparams_search") or "/" in key


def parse_options(arguments: Sequence[str]) -> Namespace:
    """Parses Hydra's options and the overrides.

    Raises:
        ConfigError: an option does not exist or lacks its value.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}: dgm-run --hydra-help lists the options")

    parser.error = refuse  # type: ignore[method-assign]  # its own would end the process
    options, rest = parser.parse_known_args(list(arguments))
    if rest and "=" in rest[0] and not rest[0].startswith("-"):
        refuse(f"{rest[0]}: overrides stand together, before or after all options")
    if rest:
        raise ConfigError(describe_unknown_option(rest[0]))
    return options


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Parses overrides as Hydra does.

    Raises:
        ConfigError: one of them is not KEY=VALUE.
    """
    parser = OverridesParser.create()
    parsed = []
    for each in overrides:
        if not each.strip():
            raise ConfigError("an argument is empty: leave it out, or write KEY=VALUE")
        try:
            parsed += parser.parse_overrides([each])
        except OverrideParseException as error:
            error.override = error.override or each
            raise ConfigError(describe_syntax(error)) from None
        except HydraException as error:  # from a function such as range()
            raise ConfigError(f"{each}: {str(error).splitlines()[0]}") from None
    return parsed


def find_config_folders(options: Namespace) -> list[Path]:
    """Returns the user's own configuration folders."""
    return [Path(options.config_dir)] if options.config_dir and Path(options.config_dir).is_dir() else []


def _check_options(options: Namespace) -> None:
    if options.experimental_rerun:
        raise ConfigError("--experimental-rerun: to resume a run, write trainer.resume=RUN_DIR")
    commands = {
        "--run": options.run,
        "--multirun": options.multirun,
        "--cfg": options.cfg is not None,
        "--shell-completion": options.shell_completion,
        "--info": options.info is not None,
    }
    given = [name for name, is_given in commands.items() if is_given]
    if len(given) > 1:
        instead = ": sweep.dry_run=true shows the jobs of a sweep" if given[0] == "--multirun" else ""
        raise ConfigError(f"{' and '.join(given)} exclude each other{instead}")
    for name in ("resolve", "package"):
        if getattr(options, name) and options.cfg is None and not options.help:
            raise ConfigError(f"--{name}: it needs --cfg job: add that, or drop --{name}")
    if options.shell_completion:
        chosen = [each for each in options.overrides if each.partition("=")[0] in SHELL_COMMANDS]
        if len(chosen) != 1 or len(options.overrides) != 1 or "=" not in chosen[0]:
            raise ConfigError("--shell-completion: write --shell-completion install=bash, or install=zsh, install=fish")


def _check_override(override: Override) -> None:
    line = str(override.input_line)
    key = str(override.key_or_group)
    if not key:
        raise ConfigError(f"{line}: there is no key before =")
    if override.is_delete():
        return
    if override.is_sweep_override():
        _check_sweep(override)
    value = None if override.is_sweep_override() else override.value()
    _check_folder(line, key, value)
    if _is_group(override) and not override.is_sweep_override():
        _check_choice(line, key, value)


def _check_folder(line: str, key: str, value: Any) -> None:
    """Refuses an empty folder of a run or a sweep."""
    if key in ("hydra.run.dir", "hydra.sweep.dir") and value in ("", None):
        raise ConfigError(f"{line}: no folder is given: write {key}=FOLDER, or leave it out")
    if key == "trainer.resume" and value == "":
        raise ConfigError(f"{line}: no folder is given: write trainer.resume=RUN_DIR, or trainer.resume=auto")


def _check_choice(line: str, key: str, value: Any) -> None:
    """Refuses a value of a group that is not the name of a choice, or a list of names for a group that takes one."""
    takes_list = key in (*LIST_GROUPS, *NESTED_LIST_GROUPS)
    if value is None and "/" in key and not takes_list:
        return  # as dataset/corrupt=null
    if value is None:
        if not takes_list and key not in PARTS:
            raise ConfigError(f"{line}: choose one of {', '.join(list_choices(key))}")
        without = f"'{key}=[]'" if takes_list else f"'~{key}'"
        raise ConfigError(f"{line}: to go without, write {without}")
    names = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not takes_list:
        sweep = f": to run one after the other, write -m {key}={','.join(map(str, value))}" if len(value) > 1 else ""
        raise ConfigError(f"{line}: this group takes one choice, not a list{sweep}")
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[\w./-]+", name):
            choices = ", ".join(list_choices(key)) or "the name of a choice"
            raise ConfigError(f"{line}: the value must be the name of a choice: {choices}")


def _count_values(override: Override) -> int:
    """Counts the values that an override sweeps over, without making a list: it may be too long for the memory."""
    values = override.value() if override.is_sweep_override() else None
    if isinstance(values, RangeSweep):
        assert values.start is not None
        assert values.stop is not None
        return max(1, math.ceil((values.stop - values.start) / values.step))
    return max(1, len(values.list)) if isinstance(values, ChoiceSweep) else 1


def _check_sweep(override: Override) -> None:
    """Refuses a sweep over no values, for which Hydra runs no job and prints nothing."""
    values = override.value()
    if isinstance(values, RangeSweep) and not values.step:
        raise ConfigError(f"{override.input_line}: the step of range() must not be 0")
    if isinstance(values, Glob):
        is_empty = not values.filter(list_choices(str(override.key_or_group)))
    else:
        is_empty = override.is_discrete_sweep() and next(override.sweep_iterator(), None) is None
    if is_empty:
        raise ConfigError(f"{override.input_line}: nothing to sweep over: the range or the glob is empty")
