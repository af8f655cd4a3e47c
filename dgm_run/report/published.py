"""What papers have found, and what runs of their presets have."""

from collections.abc import Sequence

from dgm_run.report.markdown import line
from dgm_run.report.rows import digits
from dgm_run.report.runs import Run
from dgm_run.way import words

HEADS = ("preset", "source", "data", "quantity", "published", "ours", "kind", "epochs", "training")


def published(runs: Sequence[Run]) -> str:
    """A table in Markdown with a line for every way in which a run has found a number of its preset."""
    rows = [row for run in runs for row in _rows(run)]
    if not rows:
        return ""
    about = "Numbers of papers, and what their presets gave here: mean over the test examples ± its standard error."
    table = [line(HEADS), line(["---"] * len(HEADS)), *map(line, sorted(rows))]
    return "\n".join(["# Published and found", "", about, "", *table, ""])


def _rows(run: Run) -> list[list[str]]:
    wanted, found = run.published, run.results
    training = found.get("training") or {}
    rows = []
    for row in found["estimates"]:
        if not wanted or row["quantity"] not in wanted.values:
            continue
        ours = digits(row["value"]) + (f" ± {digits(row['stderr'])}" if row.get("stderr") is not None else "")
        how = words(row["kind"], row["estimator"], row["settings"])
        numbers = [str(wanted.values[row["quantity"]]), ours + (" (collapsed)" if run.is_collapsed else ""), how]
        data = f"{found['dataset']}, {found['binarization']}"
        cost = [str(training.get("epochs", "")), _minutes(training.get("seconds", 0.0))]
        rows.append([run.experiment or "", wanted.where, data, row["quantity"], *numbers, *cost])
    return rows


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
