"""Leaves of nested dicts, such as a plain configuration."""

from collections.abc import Iterator
from typing import Any


def iterate_leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the dotted key and the value of every leaf. Lists and empty dicts are leaves."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from iterate_leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, node
