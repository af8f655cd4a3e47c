"""Names of the chosen parts of a run, as the user writes them: `vampprior` for the class VampPrior."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from dgm_run.config.hydra_compose import conf_dir

TARGET = "._target_"
"""End of the keys that hold the class of a part."""


def read_choices(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Returns the name of the choice for each key of a part, as in {"prior": "vampprior"}.

    The names are those that Hydra wrote into the run folder. A run from Python has none: its choices are found by their
    classes, where only one choice has the class, or by the name that the part states.

    Args:
        folder: folder of the run.
        settings: flat configuration of the run.
    """
    written = _read_written_choices(folder)
    choices = {}
    for key, target in settings.items():
        if key.endswith(TARGET):
            part = key.removesuffix(TARGET)
            names = [name for (group, name), each in _list_targets().items() if (group, each) == (part, target)]
            own = written.get(part)
            if own in names or (own and (part, own) not in _list_targets()):
                choices[part] = own
            elif len(names) == 1:
                choices[part] = names[0]
            elif settings.get(f"{part}.name") in names:  # data sets state their names
                choices[part] = settings[f"{part}.name"]
    return choices


def _read_written_choices(folder: Path) -> dict[str, str]:
    """Reads the choices by their keys from .hydra/hydra.yaml; none where it has none."""
    try:
        text = (folder / ".hydra" / "hydra.yaml").read_text(encoding="utf-8", errors="replace")
        # the whole file takes PyYAML ten times longer, and a report may have a thousand runs
        block = re.search(r"^    choices:\n((?:      .*\n)*)", text, re.MULTILINE)
        written = yaml.safe_load(block[1]) if block else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    if not isinstance(written, dict):
        return {}
    # a group in another place is written group@place
    keys = {group: str(group).rpartition("@")[2].replace("/", ".") for group in written}
    return {keys[group]: choice for group, choice in written.items() if isinstance(choice, str)}


@cache
def _list_targets() -> dict[tuple[str, str], str]:
    """Lists the classes of all choices by key and name."""
    targets = {}
    for path in sorted(conf_dir().glob("**/*.yaml")):
        group = path.parent.relative_to(conf_dir()).as_posix()
        # the class stands at the top, or below the name of the group
        found = re.search(rf"^(?:{group}:\n(?:  .*\n)*?  )?_target_: (\S+)", path.read_text(encoding="utf-8"), re.M)
        if found and not group.startswith("experiment"):
            targets[group.replace("/", "."), path.stem] = found[1]
    return targets
