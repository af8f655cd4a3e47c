"""Merges the estimates of a run, writes them, and shows them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgm_run.errors import ResultsError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.recording.terminal import Terminal
from dgm_run.runner import results
from dgm_run.runner.evaluate import Evaluation, announce


def add_evaluation(
    found: dict[str, Any], evaluation: Evaluation, estimators: Mapping[str, Estimator], before: Mapping[str, Any]
) -> None:  # fmt: skip
    """Brings the estimates that were there before and the new ones together in `found`."""
    found["estimates"] = results.merge_estimates(before["estimates"], evaluation.rows)
    failed_before = before.get("failed_estimators", {})
    kept = {name: why for name, why in failed_before.items() if name not in estimators}
    found["failed_estimators"] = kept | evaluation.failed


def write_results(
    folder: Path, found: dict[str, Any], evaluation: Evaluation, display: Terminal, notes: Callable[[], Sequence[str]]
) -> None:  # fmt: skip
    """Writes what was found, and shows it in any case: `notes` make the lines below its table.

    Raises:
        ResultsError: results.json cannot be written, and the training is kept.
        TrainingError: nothing can be written.
    """
    with announce(display, f"{folder / 'values.npz'}: writing the values of single examples"):
        results.write_values(folder / "values.npz", found["estimates"], evaluation.values)
    try:
        results.write(folder / "results.json", found)
    except OSError as error:
        notes = list
        told = f"cannot write {folder / 'results.json'} ({error.strerror or error})"
        if not (folder / "checkpoints" / "last").is_dir():
            raise TrainingError(f"{told}, nor any checkpoint: make room, and start the run again") from None
        raise ResultsError(f"{told}; the last checkpoint is kept") from None
    finally:
        lines: Sequence[str] = []
        with announce(display, "the summary of the run"):
            lines = notes()
        with announce(display, "the table of estimates"):
            display.estimates(evaluation.rows, "Estimates per example", lines)
