"""Writes the report of `dgm-report FOLDER`, which compares many runs."""

from pathlib import Path

from dgm_run.errors import UserError
from dgm_run.report.estimator_seeds import EstimatorSeeds, compare_seeds, pool_seeds
from dgm_run.report.groups import group_runs, split_repeated
from dgm_run.report.markdown import render_document, render_summary
from dgm_run.report.page import render_page
from dgm_run.report.published import render_published
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables


def report(folder: Path, estimator_seeds: EstimatorSeeds = "separate") -> tuple[str, list[Path]]:
    """Writes report.html and report.md into the folder, and published.md if runs of presets have published numbers.

    Args:
        folder: a folder with runs in it or below it.
        estimator_seeds: treatment of evaluations of one run that differ by the seed of the estimator. `separate` gives
            each a table, as for any other settings; `pool` takes their mean; `compare` adds a table with a row for
            each.

    Returns:
        A summary as Markdown, and the files.

    Raises:
        UserError: the folder has no run, or a file cannot be written.
    """
    runs = collect_runs(folder)
    if not runs:
        raise UserError(f"{folder}: there is no run in it, or below")
    kept, repeated = split_repeated([run for run in runs if run.state == "finished"])
    if estimator_seeds == "pool":
        kept = [pool_seeds(run) for run in kept]
    unfinished = [run for run in runs if run.state != "finished"]
    groups = group_runs(kept, unfinished)
    others = [*repeated, *unfinished]
    tables = list(make_tables(groups))
    if estimator_seeds == "compare":
        tables += compare_seeds(groups)
    files = [folder / "report.html", folder / "report.md"]
    contents = [
        render_page(f"Runs in {folder}", groups, tables, others),
        render_document(groups, tables, others),
    ]
    if published := render_published(kept):
        files.append(folder / "published.md")
        contents.append(published)
    try:
        for file, content in zip(files, contents, strict=True):
            file.write_text(content, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return render_summary(groups, tables, others), files
