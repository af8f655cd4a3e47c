"""Ends a run: merges its estimates with earlier ones, writes them to its folder, and prints them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dgm_run.distributed import process_group
from dgm_run.errors import ResultsError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.recording.base import Display
from dgm_run.recording.terminal import summarize_run
from dgm_run.runner import results, run_folder
from dgm_run.runner.assemble import Parts, get_data_source
from dgm_run.runner.evaluate import Evaluation, report_failure
from dgm_run.runner.resume import read_former_results
from dgm_run.trainers.base import TrainingSummary


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
            others = {row["dataset"]["name"] for row in evaluation.rows if row["dataset"]}
            title = " of ".join(["Estimates per example", *others])
            display.print_estimates(evaluation.rows, title, lines)


def finish_run(
    parts: Parts,
    config: dict[str, Any],
    folder: Path,
    summary: TrainingSummary,
    evaluation: Evaluation,
    environment: Mapping[str, Any],
    display: Display,
) -> dict[str, Any]:
    """Writes results.json in the main process, and returns its contents in every process."""
    choices = {
        "seed": config["seed"],
        "published": config["published"],
        "configuration": run_folder.config_hash(config),
        "data_path": get_data_source(config).get("path"),
        "initial_weights": run_folder.read_initial_weights(folder),
    }
    dataset = parts.data.dataset
    contents = results.make_results(
        choices, parts.model, dataset, evaluation.rows, summary, evaluation.failed, environment
    )
    if not process_group.is_main_process():
        return contents
    former = read_former_results(folder)
    if former and former["training"]["steps"] == summary.steps:  # the run was only evaluated again
        add_evaluation(contents, evaluation, parts.estimators, former)
    shown = contents | {"estimates": evaluation.rows}  # without rows of earlier evaluations, as in the table above it
    write_results(folder, contents, evaluation, display, lambda: summarize_run(shown, folder))
    return contents
