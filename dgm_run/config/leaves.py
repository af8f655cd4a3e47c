"""Leaves of nested dicts, such as a plain configuration, and their form as text."""

from collections.abc import Iterator
from typing import Any


def iterate_leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted key and the value of every leaf. Lists and empty dicts are leaves."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from iterate_leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node


def format_leaf(value: Any) -> str:
    """Formats a leaf as one writes it on the command line: null, true, [1, 28, 28]."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_leaf, value))}]"
    return str(value)
