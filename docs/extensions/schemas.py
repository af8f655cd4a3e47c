"""The reference of results.json and metrics.jsonl, from their schemas."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FILES = ("results.schema.json", "metrics.schema.json")
ABOUT = """\
These files are for programs. Each has a JSON Schema in `docs/`, by which `jsonschema` and other tools check them:
[results.schema.json](../results.schema.json), [metrics.schema.json](../metrics.schema.json).
A later version may add a field. NaN and infinite numbers stand without quotes, as Python's `json` writes them.
"""


def describe_schemas(folder: Path) -> str:
    """Returns the page in Markdown."""
    lines = ["# Files of numbers", "", ABOUT]
    for file in FILES:
        schema = json.loads((folder / file).read_text(encoding="utf-8"))
        lines += [f"## {schema['title']}", "", *_describe_object(schema)]
    return "\n".join(lines)


def _describe_object(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of a table of fields, and those of the objects in it."""
    yield from (schema["description"], "", "| field | type | meaning |", "| --- | --- | --- |")
    inner = []
    for name, field in schema["properties"].items():
        yield f"| `{name}` | {_describe_type(field)} | {field.get('description', '')} |"
        element = field.get("items", field)
        if "properties" in element:
            inner.append((name, element))
    yield ""
    for name, element in inner:
        yield from (f"### {name}", "", *_describe_object(element))


def _describe_type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{each}`" for each in field["enum"])
    if "$ref" in field:
        return "number"
    if "anyOf" in field:
        return " or ".join(map(_describe_type, field["anyOf"]))
    types = field.get("type", "any")
    return " or ".join([types] if isinstance(types, str) else types).replace("string", "text")
