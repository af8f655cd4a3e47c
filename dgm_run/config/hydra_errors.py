"""Describes errors of Hydra in one line each, where Hydra prints several."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dgm_run.config.hydra_compose import compose_with_hydra, conf_dir, describe_omegaconf
from dgm_run.config.presets import list_presets
from dgm_run.config.schema import GROUPS, LIST_GROUPS, NESTED_LIST_GROUPS
from dgm_run.config.suggestions import list_settable_keys, suggest_keys, suggest_names

PLUGIN_EXTRAS = ("joblib", "ray", "submitit")
"""Extras of the package that install a launcher."""

SEARCH = "hydra/sweeper=optuna"
"""Override that chooses the search."""

ADDED_GROUPS = ("experiment", "debug")
"""Groups without a default, whose choices are added by `+GROUP=CHOICE`."""

DRY_RUN = "sweep.dry_run"
"""Key of the command line alone, which no configuration has."""


def describe_hydra_error(error: BaseException, arguments: Sequence[str], folders: Sequence[Path] = ()) -> str:
    """Describes an error of Hydra or OmegaConf, raised while a configuration was composed, in one line.

    Args:
        error: the exception.
        arguments: overrides of the command.
        folders: configuration folders besides the package's own.
    """
    if isinstance(error, OverrideParseException):
        return describe_syntax(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _describe_missing(error, folders)
    known = _describe_known_message(error, arguments, folders)
    if known:
        return known
    if isinstance(error, OmegaConfBaseException):
        return describe_omegaconf(error)
    message = str(error).partition("\nConfig search path:")[0]
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines = [*lines[:1], describe_omegaconf(error.__cause__)]
    return "; ".join(lines[:2]) or type(error).__name__


def _describe_known_message(error: BaseException, arguments: Sequence[str], folders: Sequence[Path]) -> str | None:
    """Describes an error by the text of its message; None for a message that is not known here."""
    message = str(error)
    unknown = re.match(r"Could not override '([^']+)'", message) or re.match(
        r"Could not delete from config. '([^']+)' does not exist", message
    )
    if unknown:
        return describe_unknown_key(unknown[1], arguments, folders)
    existing = re.match(r"Could not append to config. An item is already at '([^']+)'", message)
    if existing:
        return f"+{existing[1]}: this key exists: write it without +"
    ambiguous = re.match(r"Ambiguous value for argument '(.+)'", message)
    if ambiguous:
        key, _, values = ambiguous[1].partition("=")
        listed = f", or write a list: '{key}=[{values}]'" if "." in key else ""
        return f"{key}={values}: add -m to run one after the other{listed}"
    swept = re.match(r"Sweep parameters '(.+)' requires --multirun", message)
    if swept:
        return f"{swept[1]}: add -m to run one after the other"
    unmerged = re.match(r"Error merging override [+]*(.+?)=", message)
    cause = error.__cause__
    if unmerged and isinstance(cause, OmegaConfBaseException):
        if "HydraConfig was not set" in str(cause):
            return f"+{unmerged[1]}: this key exists: write it without +"
        return f"{cause.full_key or unmerged[1]}: {_first_line(cause.msg or cause)}"
    if "does not support sweep type" in message:
        return f"{_first_line(message)}: choose {SEARCH}"
    return None


def describe_syntax(error: OverrideParseException) -> str:
    """Describes an override that is not KEY=VALUE, in one line."""
    override = error.override or ""
    reason = [line for line in error.message.splitlines() if not line.startswith(("Error parsing", "See http"))]
    first = reason[0].strip() if reason else "it is not of the form KEY=VALUE"
    if "=" not in override and override:
        groups = [group for group in GROUPS if override in list_choices(group)]
        return f"{override}: write {' or '.join(f'{group}={override}' for group in groups) or f'{override}=VALUE'}"
    for opening, closing in ("[]", "{}", "()"):
        if override.count(opening) != override.count(closing):
            return f"{override}: {opening} and {closing} do not match"
    for quote in "'\"":
        if override.count(quote) % 2:
            return f"{override}: a quotation mark {quote} is not closed"
    return f"{override}: cannot be read ({first}): quote values with special characters: \"KEY='VALUE'\""


def describe_unknown_key(key: str, arguments: Sequence[str], folders: Sequence[Path] = ()) -> str:
    """Describes an unknown key in one line, with similar keys or with the choices that have it."""
    group = key.partition("=")[0].partition(".")[0]
    choices = [each for each in arguments if _is_choice(each) and each.partition("=")[0].lstrip("+~") != key]
    known = _compose_settable_keys(choices) or _compose_settable_keys([])
    if key in known:
        parents = [each for each in arguments if key.startswith(each.partition("=")[0].lstrip("+") + ".")]
        if parents:
            return f"{key}: {parents[0]} removes the node that holds it: leave one of the two out"
        return f"~{key}: it is null: there is nothing to delete"
    if group in known:  # a leaf: the group is null
        return f"{key}: no {group} is chosen: choose one, or drop this override"
    meant = [
        f"+{name}=NAME" if name in ADDED_GROUPS else name
        for name in suggest_keys(key, [*known, DRY_RUN], (*GROUPS, *ADDED_GROUPS))
    ]
    line = f"{key}: there is no such key"
    if meant:
        return f"{line}: did you mean {' or '.join(meant)}? dgm-run ... --cfg job shows all of them"
    matches = _find_choices_with_key(group, key, folders) if "." in key else []
    if matches:
        first = min(name for _, name in matches)
        choices_with_key = " | ".join(choice for choice, name in matches if name == first)
        return f"{line} here: {first} needs {group}={choices_with_key}"
    return f"{line}: dgm-run ... --cfg job shows all of them"


def describe_unknown_option(word: str) -> str:
    """Describes an unknown option in one line; suggests a setting, which has no dashes."""
    option, equals, value = word.partition("=")
    key = option.lstrip("-").replace("-", "_")
    known = _compose_settable_keys([])
    meant = [key] if key in (*known, *GROUPS) else suggest_keys(key, [*known, DRY_RUN], GROUPS)
    if not meant:
        return f"no option {word}: dgm-run --hydra-help lists the options"
    settings = " or ".join(f"{name}={value if equals else 'VALUE'}" for name in meant)
    return f"no option {word}: settings have no dashes: did you mean {settings}?"


def _compose_settable_keys(overrides: Sequence[str]) -> list[str]:
    """Returns the keys that can be set with these choices; none where the choices cannot be composed."""
    try:
        return list(list_settable_keys(OmegaConf.to_container(compose_with_hydra(overrides), resolve=False)))
    except (HydraException, OmegaConfBaseException, ValueError):
        return []


def list_choices(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Returns the choices of a group, including those in the user's own folders."""
    return sorted({path.stem for folder in (conf_dir(), *folders) for path in (folder / group).glob("*.yaml")})


def _describe_missing(error: MissingConfigException, folders: Sequence[Path]) -> str:
    group, _, choice = str(error.missing_cfg_file).rpartition("/")
    if not group:
        return f"--config-name: there is no configuration {choice}"
    if group.partition("/")[0] == "experiment":
        known = list_presets(conf_dir() / "experiment")
        wanted = str(error.missing_cfg_file).partition("/")[2]
        meant = difflib.get_close_matches(wanted, known, 3, 0.6)
        hint = f"did you mean {' or '.join(meant)}? " if meant else ""
        return f"+experiment={wanted}: there is no such preset: {hint}dgm-run --experiments lists them"
    known = [name for name in error.options or () if name != "common"] or list_choices(group, folders)
    added = f"+{group}" if group in ADDED_GROUPS else group
    wanted = f"{group}=[{choice}]" if group in (*LIST_GROUPS, *NESTED_LIST_GROUPS) else f"{added}={choice}"
    if not known:
        return f"{wanted}: there is no group {group}"
    meant = [f"{added}={name}" for name in suggest_names(choice, known)] if choice else []
    meant += [f"{other}={choice}" for other in GROUPS if other != group and choice in list_choices(other, folders)][:2]
    hint = f"did you mean {' or '.join(meant)}? There are" if meant else "there are"
    extras = [name for name in PLUGIN_EXTRAS if choice.startswith(name)] if group.startswith("hydra/") else []
    install = f"; pip install 'dgm-run[{extras[0]}]' adds {choice}" if extras else ""
    return f"{wanted}: there is no such choice: {hint} {', '.join(known)}{install}"


def _find_choices_with_key(group: str, key: str, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Returns the choices of a group that have a key similar to this one, each with that key."""
    found = []
    for folder in (conf_dir(), *folders):
        for path in sorted((folder / group).glob("*.yaml")):
            node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            keys = [
                f"{group}.{name}" for name in list_settable_keys(node.get(group, node) if group == "model" else node)
            ]
            found += [(path.stem, name) for name in suggest_keys(key, keys)[:1] if name.startswith(f"{group}.")]
    return found


def _is_choice(argument: str) -> bool:
    """Returns whether an argument chooses or deletes a group, as in `prior=mixture` or `~prior`."""
    return bool(re.fullmatch(r"[+~]?[\w@/]+(=.*)?", argument))


def _first_line(message: object) -> str:
    return str(message).split("\n")[0]
