"""`dgm-report FOLDER`: what came out of many runs."""

from pathlib import Path

from dgm_run.errors import UserError
from dgm_run.report.estimator_seeds import EstimatorSeeds, compare_seeds, pool_seeds
from dgm_run.report.groups import distinct, groups
from dgm_run.report.markdown import document, summary
from dgm_run.report.page import page
from dgm_run.report.published import published
from dgm_run.report.runs import collect
from dgm_run.report.tables import tables


def report(folder: Path, estimator_seeds: EstimatorSeeds = "separate") -> tuple[str, list[Path]]:
    """Writes report.html and report.md into the folder, and published.md where presets name a number to be reached.

    Args:
        folder: with runs in it, or below.
        estimator_seeds: what becomes of evaluations of one run that differ by the seed of the estimator: `separate`
            gives each its table, as to any other settings; `pool` takes their mean; `compare` adds a table in which
            each is a row.

    Returns:
        What is known at a glance, as Markdown, and the files.

    Raises:
        UserError: there is no run in it, or it cannot be written.
    """
    runs = collect(folder)
    if not runs:
        raise UserError(f"{folder}: there is no run in it, or below")
    kept, repeated = distinct([run for run in runs if run.state == "finished"])
    if estimator_seeds == "pool":
        kept = [pool_seeds(run) for run in kept]
    without = [run for run in runs if run.state != "finished"]
    finished = groups(kept, without)
    others = [*repeated, *without]
    found = list(tables(finished))
    if estimator_seeds == "compare":
        found += compare_seeds(finished)
    files = [folder / "report.html", folder / "report.md"]
    written = [page(f"Runs in {folder}", finished, found, others), document(finished, found, others)]
    if table := published(kept):
        files.append(folder / "published.md")
        written.append(table)
    try:
        for file, content in zip(files, written, strict=True):
            file.write_text(content, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return summary(finished, found, others), files
