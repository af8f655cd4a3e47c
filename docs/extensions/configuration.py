"""The reference of the configuration: a page for each group, made from the YAML files and their comments."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

NO_GROUPS = ("experiment", "hydra", "debug", "hparams_search")
"""Folders of conf/ that hold no parts of a run."""
SHARED = "common"
"""Folder inside a group with settings that its choices share."""


class Key(NamedTuple):
    """A key of a choice.

    Attributes:
        name: dotted path, as in an override.
        value: its value, as written.
        comment: what it means.
    """

    name: str
    value: str
    comment: str


def list_groups(conf: Path) -> list[str]:
    """Returns the groups, as in `dataset/corrupt`, in order."""
    folders = {path.parent.relative_to(conf) for path in conf.rglob("*.yaml")} - {Path(".")}
    return sorted(each.as_posix() for each in folders if each.parts[0] not in NO_GROUPS and each.name != SHARED)


def describe_group(conf: Path, group: str) -> str:
    """Returns the page of a group in Markdown."""
    lines = [f"# {group}", ""]
    for path in sorted((conf / group).glob("*.yaml")):
        lines += [f"## {group}={path.stem}", "", *_describe_choice(path, group)]
    return "\n".join(lines)


def _describe_choice(path: Path, group: str) -> Iterator[str]:
    comment, parts, keys = read_choice(path, group)
    yield from (comment, "")
    if parts:
        yield from (f"It takes {', '.join(f'`{each}`' for each in parts)}.", "")
    if keys:
        yield from ("| key | value | meaning |", "| --- | --- | --- |")
        yield from (f"| `{key.name}` | `{_escape(key.value)}` | {_escape(key.comment)} |" for key in keys)
        yield ""


def read_choice(path: Path, group: str) -> tuple[str, list[str], list[Key]]:
    """Reads the YAML of a choice: its comment, the choices of other groups that it takes, and its keys."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    comment = " ".join(line.lstrip("# ") for line in lines[:first] if "@package" not in line)
    above = "" if "@package _global_" in text else f"{group.replace('/', '.')}."
    return comment, *_read_parts_and_keys(path, above)


def _read_parts_and_keys(path: Path, above: str) -> tuple[list[str], list[Key]]:
    text = path.read_text(encoding="utf-8")
    root = yaml.compose(text)
    parts: list[str] = []
    keys: list[Key] = []
    for name, value in root.value if isinstance(root, yaml.MappingNode) else []:
        if name.value != "defaults":
            keys += _read_keys(name, value, above, text.splitlines())
            continue
        for entry in value.value:
            if isinstance(entry, yaml.MappingNode):
                parts += [_describe_part(*pair, above) for pair in entry.value]
            elif "@" in entry.value:  # settings that choices share
                file, _, place = entry.value.partition("@")
                below = above if place == "_here_" else f"{above}{place}."
                keys += _read_parts_and_keys(path.parent / f"{file}.yaml", below)[1]
    return parts, keys


def _describe_part(name: yaml.Node, value: yaml.Node, above: str) -> str:
    """Describes an entry of a defaults list, as in `prior=standard`, or `prior=standard as model.prior`."""
    group, _, place = name.value.removeprefix("override ").lstrip("/").partition("@")
    chosen = f"[{','.join(each.value for each in value.value)}]" if isinstance(value.value, list) else value.value
    if not place or place.startswith("_global_."):
        return f"{group}={chosen}"
    return f"{group}={chosen} as {above}{place}"


def _read_keys(name: yaml.Node, value: yaml.Node, above: str, lines: list[str]) -> Iterator[Key]:
    """Yields the keys at and below a node of YAML; the classes of parts are left out."""
    path = f"{above}{name.value}"
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        for inner_name, inner_value in value.value:
            yield from _read_keys(inner_name, inner_value, f"{path}.", lines)
    elif not name.value.startswith("_"):
        line = lines[name.start_mark.line]
        written = line[value.start_mark.column : value.end_mark.column] if value.value != "" else '""'
        if value.start_mark.line != name.start_mark.line:
            written = "..."
        yield Key(path, written.strip(), _read_comment(line, name.start_mark.line, lines))


def _read_comment(line: str, number: int, lines: list[str]) -> str:
    """Returns the comment behind a key, with the lines that continue it below."""
    parts = [match[1]] if (match := re.search(r"\s# (.*)$", line)) else []
    for following in lines[number + 1 :] if parts else ():
        if not (match := re.match(r"\s+# (.*)$", following)):
            break
        parts.append(match[1])
    return " ".join(parts)


def _escape(text: str) -> str:
    return text.replace("|", "\\|")
