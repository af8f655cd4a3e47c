"""Links of the pages, which also work where the repository is read: navigation, files outside of docs/, numbers."""

import posixpath
import re
from pathlib import PurePosixPath

from sphinx.application import Sphinx

from dgm_run.config.hydra_compose import conf_dir
from extensions.generated import COPIED, EXAMPLES, MADE, NOTEBOOKS, ROOT
from extensions.presets import show_numbers

LINK = re.compile(r"\]\(((?:\.\./)+[^)#]+)(#[^)]*)?\)")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("source-read", _adapt)
    return {"parallel_read_safe": True}


def _adapt(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = add_numbers(redirect(docname, source[0]))
    if docname == app.config.root_doc:
        source[0] = add_navigation(source[0])


def redirect(docname: str, text: str) -> str:
    """Points links to files outside of docs/ at the pages that the site has of them."""
    folder = posixpath.dirname(docname)

    def point(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join("docs", folder, match[1]))
        if (page := _find_page(target)) is None:
            return match[0]
        return f"]({posixpath.relpath(page, folder or '.')}{match[2] or ''})"

    return LINK.sub(point, text)


def _find_page(target: str) -> str | None:
    """Returns the page of a file outside of docs/; None where there is none."""
    path = PurePosixPath(target)
    if path.suffix == ".ipynb":
        return f"{NOTEBOOKS}/{path.stem}.md"
    return COPIED.get(target) or (f"{EXAMPLES}.md" if path.parts[0] == "examples" else None)


def add_numbers(text: str) -> str:
    """Puts a table of our runs of presets at each comment `<!-- presets: PAPER, PAPER -->`."""

    def show(match: re.Match) -> str:
        return show_numbers(conf_dir(), ROOT / "results", match[1].split(", "))

    return re.sub(r"^<!-- presets: (.+) -->$", show, text, flags=re.MULTILINE)


def add_navigation(text: str) -> str:
    """Adds a table of contents to each section of the first page: the pages that its table links, in their order."""
    head, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    parts = [head]
    for section in sections:
        title = section.partition("\n")[0]
        if title == "Reference":
            section = "\n".join([section.rstrip(), *(f"| {row} |" for row in MADE.values()), ""])
        pages = dict.fromkeys(re.findall(r"\]\(([\w/.-]+)\.md\)", section))
        tree = "\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *pages, "```"])
        parts.append(f"## {section.rstrip()}\n\n{tree}\n\n" if pages else f"## {section}")
    return "".join(parts)
