"""Turns a command that goes on with a run or a sweep into the overrides that it began with."""

import os
import re
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from dgm_run.config.commands import (
    OwnCode,
    Start,
    find_packages,
    folder_of,
    is_data_path,
    key_of,
    load_start,
    override,
    quote,
    read_value,
    resume_run,
    resume_sweep,
)
from dgm_run.config.compose import GROUPS, RESUMABLE_KEYS
from dgm_run.errors import ConfigError

CALLBACK = "hydra.callbacks.sweep_folder"
"""The node of Hydra's configuration that carries `Origin` to every job, whatever engine runs it."""

_NOT_TAKEN = ("hydra.callbacks", "hydra/callbacks", "hydra.searchpath", "hydra.mode", "hydra.sweep.dir")
"""Settings of Hydra that a sweep folder does not bring along."""


def add_run(arguments: list[str], own: OwnCode) -> list[str]:
    """Adds to `trainer.resume=RUN` what that run began with, and its folder; to another run its own code alone.

    Raises:
        ConfigError: there is no such run, or the command contradicts it.
    """
    wanted = [a for a in arguments if key_of(a) == "trainer.resume"]
    if not wanted or read_value(wanted[-1]) in ("auto", None, ""):
        return [*arguments, *carry(own)]
    folder = folder_of(wanted[-1])
    if folder is None or not folder.is_dir():
        named = wanted[-1].partition("=")[2] if folder is None else read_value(wanted[-1])
        raise ConfigError(f"trainer.resume: there is no run folder {named}: start the run without it")
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("trainer.resume goes on with one run: drop -m, or go on with a sweep by sweep.resume=FOLDER")
    others = _without_folder([a for a in arguments if a not in wanted], "hydra.run.dir", "trainer.resume", folder)
    start = load_start(folder) or Start()
    if not own.covers(start.own):
        raise ConfigError(name_own_code(folder, resume_run(folder, [a for a in others if "=" in a], own)))
    arguments = [*others, override("trainer.resume", folder)]
    return [
        *add_start(start, arguments),
        *(override("hydra.run.dir", folder), "hydra.output_subdir=null"),
        *carry(own, from_folder=True),
    ]


def name_own_code(folder: Path, command: str) -> str:
    """Says that a run has own code, which the command has to name."""
    return f"{folder} was begun with code outside dgm_run: if you trust it, name it: {command}"


def add_start(start: Start, arguments: list[str]) -> list[str]:
    """Puts the overrides that a run began with before the arguments, but for those that are given anew."""
    now = {key_of(a) for a in arguments}
    chosen = tuple(f"{group}." for group in GROUPS if group in now)  # what was set in another choice goes with it
    old = [o for o in start.overrides if key_of(o) not in now and not key_of(o).startswith(chosen)]
    return [*(o for o in old if not key_of(o).startswith("hydra")), *arguments]


def add_sweep(arguments: list[str], own: OwnCode) -> list[str]:
    """Adds to `sweep.resume=SWEEP` the overrides of that sweep, its engine and its folder.

    Jobs that have ended stay as they are.

    Raises:
        ConfigError: there is no such sweep, or the command contradicts it.
    """
    wanted = [a for a in arguments if key_of(a) == "sweep.resume"]
    if not wanted:
        return arguments
    folder = folder_of(wanted[-1])
    try:
        if folder is None:
            raise FileNotFoundError
        saved = OmegaConf.load(folder / "multirun.yaml")
        task, engine = list(saved.hydra.overrides.task), list(saved.hydra.overrides.hydra)
    except (OSError, YAMLError, AttributeError):
        named = wanted[-1].partition("=")[2] if folder is None else read_value(wanted[-1])
        raise ConfigError(
            f"sweep.resume: there is no sweep in {named}: give the folder that holds its multirun.yaml"
        ) from None
    more = [a for a in arguments if a not in (*wanted, *task, "-m", "--multirun")]
    more = _without_folder(more, "hydra.sweep.dir", "sweep.resume", folder)
    changed = [a for a in more if not key_of(a).startswith("hydra") and not _may_change(key_of(a))]
    if changed:
        raise ConfigError(f"sweep.resume: {changed[0]} would be another sweep: start one of its own")
    lacking = sweep_code(folder)
    if not own.covers(lacking):
        raise ConfigError(name_own_code(folder, resume_sweep(folder, own | lacking)))
    now = {key_of(a) for a in more} | {"trainer.resume"}
    engine = [each for each in engine if not key_of(each).startswith(_NOT_TAKEN) and "_target_" not in each]
    kept = [each for each in (*task, *engine) if key_of(each) not in now]
    begun_in = OmegaConf.select(saved, "hydra.runtime.cwd", default=os.getcwd())
    here = [override("hydra.sweep.dir", folder), *carry(own, from_folder=True, base=begun_in)]
    return ["-m", *kept, *more, "trainer.resume=auto", *here]


def sweep_code(folder: Path) -> OwnCode:
    """Collects the own code of a sweep: what its command named, and what its jobs build from."""
    try:
        hydra = OmegaConf.load(folder / "multirun.yaml").hydra
    except (OSError, YAMLError, AttributeError):
        return OwnCode()
    base = Path(OmegaConf.select(hydra, "runtime.cwd", default=""))
    named = OmegaConf.select(hydra, f"{CALLBACK.removeprefix('hydra.')}.packages", default=None) or ()
    own = OwnCode(config_dir_of(hydra), tuple(map(str, named)))
    targets: set[str] = set()
    for path in folder.glob("*/.hydra/config.yaml"):  # as text: there may be thousands
        with suppress(OSError, ValueError):
            targets |= set(re.findall(r"_target_: ['\"]?([\w.]+)", path.read_text()))
    return own | OwnCode(packages=find_packages(targets, base))


def config_dir_of(hydra: DictConfig) -> str | None:
    """Finds the folder that `--config-dir` named, in Hydra's own configuration."""
    sources = OmegaConf.select(hydra, "runtime.config_sources", default=None) or ()
    return next((source.path for source in sources if source.provider == "command-line"), None)


def carry(own: OwnCode, from_folder: bool = False, base: str | None = None) -> list[str]:
    """Writes the overrides that carry to every job which packages the command named.

    Args:
        own: the code that the command names.
        from_folder: whether a run folder brings the configuration, so that only these packages may be built.
        base: the folder that relative data paths start from; None for the current one.
    """
    carried = [f"{CALLBACK}.packages=[{','.join(map(quote, own.packages))}]"] if own.packages or from_folder else []
    carried += [f"{CALLBACK}.only_packages=true"] if from_folder else []
    return carried + ([override(f"{CALLBACK}.base", base)] if base else [])


def fix_data_paths(arguments: list[str]) -> list[str]:
    """Makes the data paths among overrides absolute, from the current folder; those to sweep over stay."""
    return [_fixed(each) if is_data_path(key_of(each)) else each for each in arguments]


def _fixed(text: str) -> str:
    value = read_value(text)
    if not isinstance(value, str) or not value or "${" in text:
        return text
    return f"{text.partition('=')[0]}={quote(os.path.abspath(os.path.expanduser(value)))}"


def _without_folder(arguments: list[str], key: str, option: str, folder: Path) -> list[str]:
    """The arguments without the folder of what is gone on with, where they name it once more."""
    for each in arguments:
        if key_of(each) == key and folder_of(each) != folder:
            raise ConfigError(f"{option} goes on in {folder}: drop {each}, or start without {option}")
    return [each for each in arguments if key_of(each) != key]


def _may_change(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in RESUMABLE_KEYS)
