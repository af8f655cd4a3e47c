"""Pages that are made from the code, the YAML files and the kept results, in docs/reference/."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

from dgm_run.config.hydra_compose import conf_dir
from extensions.configuration import describe_group, list_groups
from extensions.notebooks import describe_notebook
from extensions.presets import describe_presets
from extensions.python import describe_python
from extensions.schemas import describe_schemas

ROOT = Path(__file__).parents[2]
REFERENCE = "reference"
EXAMPLES = f"{REFERENCE}/examples"
NOTEBOOKS = f"{REFERENCE}/notebooks"
MADE = {
    f"{REFERENCE}/configuration": "[configuration keys](reference/configuration.md) | every key of every choice",
    f"{REFERENCE}/python": "[Python interface](reference/python.md) | functions, and the contracts of own parts",
    f"{REFERENCE}/files": "[files of numbers](reference/files.md) | the fields of results.json and metrics.jsonl",
    f"{REFERENCE}/presets": "[presets](reference/presets.md) | all rows of papers: published, ours, verdict, hours",
}
"""Pages that only the site has, with their rows in the table of the first page."""
COPIED = {
    "RESULTS.md": f"{REFERENCE}/published.md",
    "CONTRIBUTING.md": f"{REFERENCE}/contributing.md",
    "CHANGELOG.md": f"{REFERENCE}/changelog.md",
}
"""Files outside of docs/ that the site has as pages."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir)))
    return {"parallel_read_safe": True}


def write_pages(folder: Path) -> None:
    """Writes all pages, and removes those of an earlier build."""
    shutil.rmtree(folder / REFERENCE, ignore_errors=True)
    for name, text in make_pages():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def make_pages() -> Iterator[tuple[str, str]]:
    """Yields the path of each page below docs/, and its text."""
    groups = list_groups(conf_dir())
    for group in groups:
        yield f"{REFERENCE}/configuration/{group.replace('/', '_')}.md", describe_group(conf_dir(), group)
    pages = "\n".join(f"configuration/{group.replace('/', '_')}" for group in groups)
    tree = f"```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"
    yield f"{REFERENCE}/configuration.md", f"# Configuration keys\n\n{ABOUT_KEYS}\n{tree}"
    yield f"{REFERENCE}/python.md", describe_python()
    yield f"{REFERENCE}/files.md", describe_schemas(ROOT / "docs")
    yield f"{REFERENCE}/presets.md", describe_presets(conf_dir(), ROOT / "results")
    yield f"{EXAMPLES}.md", _show_examples(ROOT / "examples")
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")):
        yield f"{NOTEBOOKS}/{path.stem}.md", describe_notebook(path)
    for source, page in COPIED.items():
        yield page, (ROOT / source).read_text(encoding="utf-8")


ABOUT_KEYS = """\
Each group has a page with its choices. `GROUP=CHOICE` takes a choice, and `GROUP.KEY=VALUE` sets one of its keys.
The pages are made from the YAML files in `conf/`.
"""


def _show_examples(folder: Path) -> str:
    """Returns the text about the examples, and each of their files below it."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    parts = [re.sub(r"\]\(([\w/.]+\.(py|yaml))\)", lambda match: f"](#{_make_anchor(match[1])})", text)]
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.yaml")]):
        language = "python" if path.suffix == ".py" else "yaml"
        code = path.read_text(encoding="utf-8")
        parts += [f"## {path.relative_to(folder).as_posix()}\n\n```{language}\n{code}```\n"]
    return "\n".join(parts)


def _make_anchor(heading: str) -> str:
    return re.sub(r"[^\w-]", "", heading.lower())
