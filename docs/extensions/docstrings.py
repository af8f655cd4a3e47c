"""Docstrings as plain text: their asterisks and bars are no markup, and single backticks hold code."""

import re

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension; it reads each docstring before napoleon does."""
    app.connect("autodoc-process-docstring", _adapt, priority=400)
    return {"parallel_read_safe": True}


def _adapt(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = map(escape, lines)


def escape(line: str) -> str:
    """Escapes markup outside of code, and marks code as reStructuredText does."""
    parts = re.split(r"`+([^`]+)`+", line)
    return "".join(f"``{part}``" if i % 2 else re.sub(r"([*|_])", r"\\\1", part) for i, part in enumerate(parts))
