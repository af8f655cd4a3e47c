"""`dgm-report FOLDER`: what came out of many runs."""

from pathlib import Path

from dgm_run.errors import UserError
from dgm_run.report.groups import groups
from dgm_run.report.markdown import document
from dgm_run.report.page import page
from dgm_run.report.published import published
from dgm_run.report.runs import collect
from dgm_run.report.tables import tables


def report(folder: Path) -> tuple[str, list[Path]]:
    """Writes report.html and report.md into the folder, and published.md where presets name a paper's number.

    Returns:
        The Markdown, and the files.

    Raises:
        UserError: there is no run in it.
    """
    runs = collect(folder)
    if not runs:
        raise UserError(f"{folder}: there is no run in it, or below")
    finished = groups([run for run in runs if run.state == "finished"])
    others = [run for run in runs if run.state != "finished"]
    found = list(tables(finished))
    text, files = document(finished, found, others), [folder / "report.html", folder / "report.md"]
    files[0].write_text(page(f"Runs in {folder}", finished, found, others), encoding="utf-8")
    files[1].write_text(text, encoding="utf-8")
    if table := published([run for run in runs if run.state == "finished"]):
        files.append(folder / "published.md")
        files[-1].write_text(table, encoding="utf-8")
    return text, files
