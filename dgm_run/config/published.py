"""Published numbers of presets: kinds, sources, and their check."""

import re
from typing import Any

from dgm_run.errors import ConfigError

KINDS = {
    "paper": "a paper's number",
    "program": "another program's run",
    "closed_form": "an exact value",
    "bound": "a bound that no model passes",
}
"""Kinds of published numbers, `published.kind` of a preset, in words."""


def check_published(node: Any) -> None:
    """Checks the node `published` of a configuration, which only presets set.

    Raises:
        ConfigError: a part of the node is missing, or its kind is unknown.
    """
    if node is None:
        return
    if not isinstance(node, dict):
        raise ConfigError("published: a preset sets it, with kind, values and source: leave it out")
    missing = [name for name in ("kind", "values", "source") if node.get(name) is None]
    if missing:
        raise ConfigError(
            f"published.{missing[0]} is missing: a preset that sets published needs kind, values and source"
        )
    if node["kind"] not in tuple(KINDS):
        raise ConfigError(f"published.kind: {node['kind']} is no kind of number: choose one of {', '.join(KINDS)}")
    for name, example in (("values", "{log_likelihood: -85.0}"), ("stderr", "{log_likelihood: 0.1}")):
        numbers = {} if node.get(name) is None else node[name]
        if not (isinstance(numbers, dict) and all(type(value) in (int, float) for value in numbers.values())):
            raise ConfigError(f"published.{name} = {numbers} must be numbers by quantity, as in {example}")
    for name, content in (("source", "title, address, table"), ("note", "why a run differs from the number")):
        if not isinstance(node.get(name), str | None):
            raise ConfigError(f"published.{name} = {node[name]} must be text: {content}")


def split_source(source: str) -> tuple[str, str]:
    """Splits a source after its address: into the paper or program, and the place of the number in it."""
    title, comma, rest = source.partition(", http")
    address, *where = re.split("[,;] ", rest, maxsplit=1)
    return f"{title}{comma}{address}", "".join(where)
