"""Merges the estimates of a run, writes them to its folder, and prints them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgm_run.errors import ResultsError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.recording.base import Display
from dgm_run.runner import results
from dgm_run.runner.evaluate import Evaluation, report_failure


def add_evaluation(
    contents: dict[str, Any], evaluation: Evaluation, estimators: Mapping[str, Estimator], former: Mapping[str, Any]
) -> None:  # fmt: skip
    """Merges the estimates of an earlier command and the new ones, in place.

    Args:
        contents: contents of results.json to change.
        evaluation: new estimates.
        estimators: estimators of the new evaluation, which replace their former failures.
        former: contents of results.json of the earlier command.
    """
    contents["estimates"] = results.merge_estimates(former["estimates"], evaluation.rows)
    former_failures = former.get("failed_estimators", {})
    kept = {name: reason for name, reason in former_failures.items() if name not in estimators}
    contents["failed_estimators"] = kept | evaluation.failed


def write_results(
    folder: Path,
    contents: dict[str, Any],
    evaluation: Evaluation,
    display: Display,
    make_notes: Callable[[], Sequence[str]],
) -> None:
    """Writes the results, and shows them even if they cannot be written.

    Args:
        folder: folder of the run.
        contents: contents of results.json.
        evaluation: new estimates.
        display: shows the table.
        make_notes: makes the lines below the table.

    Raises:
        ResultsError: results.json cannot be written; the training is kept.
        TrainingError: nothing can be written.
    """
    with report_failure(display, f"{folder / 'values.npz'}: writing the values of single examples"):
        results.write_values(folder / "values.npz", contents["estimates"], evaluation.values)
    try:
        results.write(folder / "results.json", contents)
    except OSError as error:
        make_notes = list
        message = f"cannot write {folder / 'results.json'} ({error.strerror or error})"
        if not (folder / "checkpoints" / "last").is_dir():
            raise TrainingError(f"{message}, nor any checkpoint: free disk space, and start the run again") from None
        raise ResultsError(f"{message}; the last checkpoint is kept") from None
    finally:
        lines: Sequence[str] = []
        with report_failure(display, "the summary of the run"):
            lines = make_notes()
        with report_failure(display, "the table of estimates"):
            display.print_estimates(evaluation.rows, "Estimates per example", lines)
