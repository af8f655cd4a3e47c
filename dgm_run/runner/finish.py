"""Merges the estimates of a run, writes them, and shows them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgm_run.errors import ResultsError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.recording.base import Display
from dgm_run.runner import results
from dgm_run.runner.evaluate import Evaluation, report_failure


def add_evaluation(
    found: dict[str, Any], evaluation: Evaluation, estimators: Mapping[str, Estimator], before: Mapping[str, Any]
) -> None:  # fmt: skip
    """Merges the estimates of an earlier command and the new ones in `found`."""
    found["estimates"] = results.merge_estimates(before["estimates"], evaluation.rows)
    failed_before = before.get("failed_estimators", {})
    kept = {name: why for name, why in failed_before.items() if name not in estimators}
    found["failed_estimators"] = kept | evaluation.failed


def write_results(
    folder: Path, found: dict[str, Any], evaluation: Evaluation, display: Display, notes: Callable[[], Sequence[str]]
) -> None:  # fmt: skip
    """Writes the results, and shows them even if they cannot be written.

    Args:
        folder: folder of the run.
        found: contents of results.json.
        evaluation: new estimates.
        display: shows the table.
        notes: makes the lines below the table.

    Raises:
        ResultsError: results.json cannot be written; the training is kept.
        TrainingError: nothing can be written.
    """
    with report_failure(display, f"{folder / 'values.npz'}: writing the values of single examples"):
        results.write_values(folder / "values.npz", found["estimates"], evaluation.values)
    try:
        results.write(folder / "results.json", found)
    except OSError as error:
        notes = list
        message = f"cannot write {folder / 'results.json'} ({error.strerror or error})"
        if not (folder / "checkpoints" / "last").is_dir():
            raise TrainingError(f"{message}, nor any checkpoint: free disk space, and start the run again") from None
        raise ResultsError(f"{message}; the last checkpoint is kept") from None
    finally:
        lines: Sequence[str] = []
        with report_failure(display, "the summary of the run"):
            lines = notes()
        with report_failure(display, "the table of estimates"):
            display.estimates(evaluation.rows, "Estimates per example", lines)
