"""Writes the report of `dgm-report FOLDER`, which compares many runs."""

from pathlib import Path
from typing import Literal

from dgm_run.errors import UserError
from dgm_run.report.comparison import Comparison, compare_runs
from dgm_run.report.estimator_seeds import EstimatorSeeds
from dgm_run.report.latex import render_latex
from dgm_run.report.markdown import render_document, render_summary
from dgm_run.report.page import render_page
from dgm_run.report.published import render_published
from dgm_run.report.records import make_records, render_csv
from dgm_run.report.searches import collect_searches

FigureFormat = Literal["pdf", "svg"]
"""Format of the figures."""


def report(
    folder: Path,
    estimator_seeds: EstimatorSeeds = "separate",
    csv: bool = False,
    latex: bool = False,
    figures: FigureFormat | None = None,
) -> tuple[str, list[Path]]:
    """Writes report.html and report.md into the folder, and published.md if runs of presets have published numbers.

    Args:
        folder: a folder with runs in it or below it.
        estimator_seeds: treatment of estimator seeds, as in `compare_runs`.
        csv: whether to write report.csv.
        latex: whether to write report.tex.
        figures: format of the figures to write below FOLDER/figures, pdf or svg; None for no figures.

    Returns:
        A summary as Markdown, and the files.

    Raises:
        UserError: the folder has no run, or a file cannot be written.
    """
    comparison = compare_runs(folder, estimator_seeds)
    parts = (comparison.groups, comparison.tables, comparison.others, collect_searches(folder))
    contents: dict[Path, str | bytes] = {
        folder / "report.html": render_page(f"Runs in {folder}", *parts),
        folder / "report.md": render_document(*parts),
    }
    if published := render_published(comparison.runs):
        contents[folder / "published.md"] = published
    if csv:
        contents[folder / "report.csv"] = render_csv(make_records(comparison))
    if latex:
        contents[folder / "report.tex"] = render_latex(comparison)
    if figures:
        contents |= _draw_figures(comparison, figures)
    for file, content in contents.items():
        _write(file, content)
    return render_summary(*parts), list(contents)


def _draw_figures(comparison: Comparison, file_format: FigureFormat) -> dict[Path, bytes]:
    """Draws all figures; returns their contents by file."""
    from dgm_run.report.figures import draw_figures  # imports matplotlib

    figures = draw_figures(comparison, file_format)
    return {comparison.folder / "figures" / f"{name}.{file_format}": content for name, content in figures.items()}


def _write(file: Path, content: str | bytes) -> None:
    try:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", errors="replace"))
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}") from None
