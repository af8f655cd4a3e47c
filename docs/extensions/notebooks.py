"""Pages of the notebooks in examples/notebooks/: their text, their code, and the outputs that are stored in them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def describe_notebook(path: Path) -> str:
    """Returns the page of a notebook in Markdown."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return "\n".join(line for cell in notebook["cells"] for line in _describe_cell(cell))


def _describe_cell(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield from (source, "")
        return
    yield from ("```python", source, "```", "")
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield from ("```text", "".join(output["text"]).rstrip(), "```", "")
        elif picture := output["data"].get("image/png"):
            yield from (f"![output](data:image/png;base64,{''.join(picture.split())})", "")
