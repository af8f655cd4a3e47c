"""Completes a command that resumes a run or a sweep: adds the overrides that it was started with."""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from dgm_run.config.commands import resume_run, resume_sweep
from dgm_run.config.overrides import (
    is_data_path,
    is_network_file,
    quote,
    read_folder,
    read_key,
    read_value,
    write_override,
)
from dgm_run.config.own_code import OwnCode, find_packages
from dgm_run.config.schema import GROUPS, NESTED_LIST_GROUPS, RESUMABLE_KEYS
from dgm_run.config.start import Start, load_start
from dgm_run.errors import ConfigError

CALLBACK_KEY = "hydra.callbacks.sweep_folder"
"""Node of Hydra's configuration that carries settings of the command to every job, for every launcher."""

_SETTINGS_NOT_RESUMED = ("hydra.callbacks", "hydra/callbacks", "hydra.searchpath", "hydra.mode", "hydra.sweep.dir")
"""Settings of Hydra that a resumed sweep does not take from its folder."""


def add_run(arguments: list[str], own: OwnCode) -> list[str]:
    """Adds the overrides and the folder of the run to `trainer.resume=RUN`; adds only own code to a new run.

    Raises:
        ConfigError: there is no such run, or the command contradicts it.
    """
    wanted = [a for a in arguments if read_key(a) == "trainer.resume"]
    if not wanted or read_value(wanted[-1]) in ("auto", None, ""):
        return [*arguments, *carry_own_code(own)]
    folder = read_folder(wanted[-1])
    if folder is None or not folder.is_dir():
        place = wanted[-1].partition("=")[2] if folder is None else read_value(wanted[-1])
        raise ConfigError(f"trainer.resume: there is no run folder {place}: start the run without it")
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("trainer.resume resumes one run: drop -m, or resume a sweep by sweep.resume=FOLDER")
    others = _drop_folder([a for a in arguments if a not in wanted], "hydra.run.dir", "trainer.resume", folder)
    start = load_start(folder) or Start()
    if not own.covers(start.own):
        raise ConfigError(describe_own_code(folder, resume_run(folder, [a for a in others if "=" in a], own)))
    arguments = [*others, write_override("trainer.resume", folder)]
    return [
        *add_start(start, arguments),
        *(write_override("hydra.run.dir", folder), "hydra.output_subdir=null"),
        *carry_own_code(own, from_folder=True, arguments=others),
    ]


def describe_own_code(folder: Path, command: str) -> str:
    """Writes the message that a run needs own code, and the command that names it."""
    return f"{folder} needs code outside dgm_run: if you trust it, run {command}"


def add_start(start: Start, arguments: list[str]) -> list[str]:
    """Puts the overrides of a run's start before the arguments, except those that the arguments set again."""
    new_keys = {read_key(each) for each in arguments}
    # a new choice of a group drops the settings of the old one, and Hydra's own settings belong to the old command
    groups = (*GROUPS, *NESTED_LIST_GROUPS)
    dropped = ("hydra", *(f"{group.replace('/', '.')}." for group in groups if group in new_keys))
    start_overrides = [each for each in start.overrides if read_key(each) not in new_keys]
    return [*(each for each in start_overrides if not read_key(each).startswith(dropped)), *arguments]


def add_sweep(arguments: list[str], own: OwnCode) -> list[str]:
    """Adds the overrides of the sweep, its launcher and its folder to `sweep.resume=SWEEP`.

    Finished jobs stay as they are.

    Raises:
        ConfigError: there is no such sweep, or the command contradicts it.
    """
    wanted = [a for a in arguments if read_key(a) == "sweep.resume"]
    if not wanted:
        return arguments
    folder, saved = _read_sweep(wanted[-1])
    task_overrides = list(saved.overrides.task)
    added = [a for a in arguments if a not in (*wanted, *task_overrides, "-m", "--multirun")]
    added = _drop_folder(added, "hydra.sweep.dir", "sweep.resume", folder)
    changed = [a for a in added if not read_key(a).startswith("hydra") and not _is_resumable(read_key(a))]
    if changed:
        raise ConfigError(f"sweep.resume: {changed[0]} makes another sweep: drop it, or start a new sweep with it")
    sweep_code = find_sweep_code(folder)
    if not own.covers(sweep_code):
        raise ConfigError(describe_own_code(folder, resume_sweep(folder, own | sweep_code)))
    new_keys = {read_key(a) for a in added} | {"trainer.resume"}
    old_overrides = [*task_overrides, *filter(_is_kept_setting, saved.overrides.hydra)]
    old_overrides = [each for each in old_overrides if read_key(each) not in new_keys]
    start_folder = OmegaConf.select(saved, "runtime.cwd", default=os.getcwd())
    carried = carry_own_code(own, from_folder=True, base=start_folder, arguments=arguments)
    sweep_folder = write_override("hydra.sweep.dir", folder)
    return ["-m", *old_overrides, *added, "trainer.resume=auto", sweep_folder, *carried]


def _read_sweep(override: str) -> tuple[Path, DictConfig]:
    """Reads the folder that `sweep.resume=SWEEP` names, and Hydra's configuration of the sweep in it."""
    folder = read_folder(override)
    try:
        if folder is None:
            raise FileNotFoundError
        hydra = OmegaConf.load(folder / "multirun.yaml").hydra
        _ = hydra.overrides.task, hydra.overrides.hydra  # a damaged file lacks them
        return folder, hydra
    except (OSError, YAMLError, AttributeError):
        place = override.partition("=")[2] if folder is None else read_value(override)
        raise ConfigError(
            f"sweep.resume: there is no sweep in {place}: give the folder that holds its multirun.yaml"
        ) from None


def _is_kept_setting(override: str) -> bool:
    """Returns whether a resumed sweep takes a setting of Hydra from its folder."""
    return not read_key(override).startswith(_SETTINGS_NOT_RESUMED) and "_target_" not in override


def find_sweep_code(folder: Path) -> OwnCode:
    """Collects the own code of a sweep: packages that its command names, and packages of its jobs' targets."""
    try:
        hydra = OmegaConf.load(folder / "multirun.yaml").hydra
    except (OSError, YAMLError, AttributeError):
        return OwnCode()
    base = Path(OmegaConf.select(hydra, "runtime.cwd", default=""))
    named = OmegaConf.select(hydra, f"{CALLBACK_KEY.removeprefix('hydra.')}.packages", default=None) or ()
    own = OwnCode(find_config_dir(hydra), tuple(map(str, named)))
    targets: set[str] = set()
    for path in folder.glob("*/.hydra/config.yaml"):  # read as text, because there may be thousands
        with suppress(OSError, ValueError):
            targets |= set(re.findall(r"_target_: ['\"]?([\w.]+)", path.read_text()))
    return own | OwnCode(packages=find_packages(targets, base))


def find_config_dir(hydra: DictConfig) -> str | None:
    """Returns the folder of `--config-dir` from Hydra's own configuration; None where there is none."""
    sources = OmegaConf.select(hydra, "runtime.config_sources", default=None) or ()
    return next((source.path for source in sources if source.provider == "command-line"), None)


def carry_own_code(
    own: OwnCode, from_folder: bool = False, base: str | None = None, arguments: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """Writes the overrides that carry the packages and the networks of the command to every job.

    Args:
        own: code that the command names.
        from_folder: whether a run folder brings the configuration, so that only these packages may be built.
        base: folder that relative data paths start from; None for the current one.
        arguments: overrides of the command itself, without those of a run folder.
    """
    networks = [read_key(each) for each in arguments if is_network_file(read_key(each), read_value(each))]
    carried = [f"{CALLBACK_KEY}.packages=[{','.join(map(quote, own.packages))}]"] if own.packages or from_folder else []
    carried += [f"{CALLBACK_KEY}.only_packages=true"] if from_folder else []
    carried += [f"{CALLBACK_KEY}.networks=[{','.join(networks)}]"] if networks else []
    return carried + ([write_override(f"{CALLBACK_KEY}.base", base)] if base else [])


def fix_data_paths(arguments: list[str]) -> list[str]:
    """Makes paths among the overrides absolute, from the current folder; sweeps over paths stay as they are."""
    return [_make_absolute(each) if _is_path(each) else each for each in arguments]


def _is_path(override: str) -> bool:
    key = read_key(override)
    return is_data_path(key) or is_network_file(key, read_value(override))


def _make_absolute(text: str) -> str:
    value = read_value(text)
    if not isinstance(value, str) or not value or "${" in text:
        return text
    return f"{text.partition('=')[0]}={quote(os.path.abspath(os.path.expanduser(value)))}"


def _drop_folder(arguments: list[str], key: str, option: str, folder: Path) -> list[str]:
    """Drops the folder of the resumed run or sweep, where the arguments name it again; refuses another folder."""
    for each in arguments:
        if read_key(each) == key and read_folder(each) != folder:
            raise ConfigError(f"{option} continues in {folder}: drop {each}, or start without {option}")
    return [each for each in arguments if read_key(each) != key]


def _is_resumable(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in RESUMABLE_KEYS)
