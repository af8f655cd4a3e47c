"""Evaluates a trained model on the test data."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributed.signals import Interrupted, StopRequest
from dgm_run.errors import ResultsError, UserError, join_warnings
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback
from dgm_run.estimators.baseline_comparison import has_likelihood_without_baseline, warn_if_worse
from dgm_run.estimators.baselines.independent_columns import fit_independent_columns
from dgm_run.estimators.baselines.independent_pixels import fit_independent_pixels
from dgm_run.estimators.limits import add_limits
from dgm_run.estimators.repeats import average_repeats
from dgm_run.memory import out_of_memory
from dgm_run.models.base import topmost_with_method
from dgm_run.models.corrupted import get_complete_model
from dgm_run.models.external import ExternalModel
from dgm_run.recording.base import Display
from dgm_run.recording.estimate_id import values_key
from dgm_run.recording.grid_labels import draw_labelled_grid
from dgm_run.recording.image_grid import is_image
from dgm_run.runner import results


class Evaluation(NamedTuple):
    """Results of all estimators.

    Attributes:
        rows: rows of results.json.
        values: values of single examples, (N,) each, by `values_key` of their row.
        failed: reasons of failed estimators, by the estimator's name.
    """

    rows: list[dict[str, Any]]
    values: dict[str, np.ndarray]
    failed: dict[str, str]


def evaluate_test_set(
    model: nn.Module, estimators: Mapping[str, Estimator], data: LoadedDataset, seed: int, display: Display,
    stop: StopRequest, show: Callable[[str, np.ndarray], None], other_data: Mapping[str, Any] | None = None,
) -> Evaluation:  # fmt: skip
    """Runs every estimator on the test data; `show` receives their pictures by name.

    A failed estimator loses only its own numbers. Several processes end after a failure, because the others may wait
    for the process in which it happened. Rows on data other than the run's name them by `other_data`.

    Raises:
        Interrupted: a signal asked to stop.
        ResultsError: an estimator failed in one of several processes.
    """

    def report(done: int, total: int) -> None:
        if stop:
            raise Interrupted(stop.signum, "stopped while evaluating, training is done and saved")
        display.update_estimator(done, total)

    all_estimates: list[Estimate] = []
    seconds: list[float] = []
    failed: dict[str, str] = {}
    for name, estimator in estimators.items():
        model.eval()
        try:
            with out_of_memory(_advise_smaller_settings(name, estimator)):
                estimates, seconds_taken, fitted = _estimate(model, name, estimator, data, seed, display, report)
        except (Exception, SystemExit) as error:
            display.finish()
            display.log(traceback.format_exc())
            if process_group.size() > 1:
                raise _choose_error_of_worker(name, error) from None
            failed[name] = describe_error(error)
            display.say(f"estimators.{name} failed: {failed[name]}")
            continue
        all_estimates += estimates
        seconds += [seconds_taken] * len(estimates)
        with report_failure(display, f"the pictures of estimators.{name}"):
            _show_pictures(model, fitted, data, show)
    all_estimates = _add_model_warnings(all_estimates, model)
    with report_failure(display, "the comparison with baselines"):
        rng.reseed(seed, "independent pixels")
        needs_baseline = has_likelihood_without_baseline(all_estimates)
        fit_independent = fit_independent_columns if data.train.columns else fit_independent_pixels
        baseline = fit_independent(data) if needs_baseline else None
        advice = "the model was trained on other data" if other_data else _advise_on_external(model)
        all_estimates = warn_if_worse(all_estimates, baseline, advice)
    return _make_evaluation(all_estimates, seconds, failed, other_data)


def _advise_on_external(model: nn.Module) -> str | None:
    """Returns the advice for a model that was trained elsewhere; None for others."""
    is_external = isinstance(get_complete_model(model), ExternalModel)
    return "see what its module takes (docs/external_models.md)" if is_external else None


def _choose_error_of_worker(name: str, error: BaseException) -> BaseException:
    """Returns the error that ends one of several processes after an estimator failed in it."""
    if isinstance(error, RuntimeError) and not isinstance(error, torch.linalg.LinAlgError):
        return error  # another process may be lost
    message = f"estimators.{name} failed: {describe_error(error)}; training is done and saved"
    return ResultsError(f"{message}: set trainer.devices=1 to run the other estimators")


def _make_evaluation(
    estimates: Sequence[Estimate], seconds: Sequence[float], failed: dict[str, str],
    other_data: Mapping[str, Any] | None,
) -> Evaluation:  # fmt: skip
    """Makes the rows of results.json, and the values of single examples as arrays."""
    pairs = zip(estimates, seconds, strict=True)
    rows = [results.make_row(estimate, "test", each, other_data) for estimate, each in pairs]
    values = {
        values_key(row): estimate.values.detach().float().cpu().numpy()
        for row, estimate in zip(rows, estimates, strict=True)
        if estimate.values is not None
    }
    return Evaluation(rows, values, failed)


def _estimate(
    model: nn.Module,
    name: str,
    estimator: Estimator,
    data: LoadedDataset,
    seed: int,
    display: Display,
    report: ProgressCallback,
) -> tuple[list[Estimate], float, Estimator]:
    """Fits and runs one estimator.

    The first repeat continues with the random numbers of fitting. Each later repeat has a seed of its own.

    Returns:
        Estimates, seconds, and the fitted estimator.
    """
    display.start_estimator(f"{name}: fitting")
    start = time.monotonic()
    stream = f"estimate {name}"
    rng.reseed(seed, stream, estimator.seed)
    fitted = estimator.fit(model, data.train, data.valid, report)
    repeats = []
    for repeat in range(estimator.repeats):
        if repeat:
            rng.reseed(seed, stream, estimator.seed + repeat)
        display.start_estimator(
            f"{name}: repeat {repeat + 1} of {estimator.repeats}" if estimator.repeats > 1 else name
        )
        repeats.append(fitted(model, data.test, report))
    is_discrete = data.dataset.kind not in ("continuous", "mixed")
    estimates = [add_limits(each, is_discrete) for each in average_repeats(repeats, estimator.seed)]
    seconds = time.monotonic() - start
    for estimate in estimates:
        results.check_row(results.make_row(estimate, "test", seconds))
    return estimates, seconds, fitted


def _show_pictures(
    model: nn.Module, fitted: Estimator, data: LoadedDataset, show: Callable[[str, np.ndarray], None]
) -> None:  # fmt: skip
    if is_image(data.dataset.shape):
        for picture, images in fitted.pictures(model).items():
            restored = data.dataset.preprocessing.restore(images)
            show(picture, draw_labelled_grid(picture, restored, 8, fitted.row_labels().get(picture, ())))
    for name, plot in fitted.plots().items():
        show(name, plot)


def _advise_smaller_settings(name: str, estimator: Estimator) -> str:
    """Names the settings of an estimator that may be too large."""
    own = {name: value for name, value in vars(estimator).items() if name not in ("seed", "repeats")}
    settings = {k: v for k, v in own.items() if isinstance(v, int) and not isinstance(v, bool) and v > 1}
    keys = ", ".join(f"estimators.{name}.{k}={v}" for k, v in settings.items())
    return f"lower {keys or 'trainer.eval_batch_size'}"


@contextmanager
def report_failure(display: Display, what: str) -> Iterator[None]:
    """Reports a failure of the block and suppresses it: no later step of the run depends on the block."""
    try:
        yield
    except Exception as error:
        display.say(f"{what} failed: {describe_error(error)}")
        display.log(traceback.format_exc())


def describe_error(error: BaseException) -> str:
    """Describes an error in one line: a message for the user unchanged, any other with its class."""
    message = " ".join(str(error).split())
    return message if isinstance(error, UserError) else f"{type(error).__name__.lstrip('_')}: {message}"


def _add_model_warnings(estimates: Sequence[Estimate], model: nn.Module) -> list[Estimate]:
    """Adds the `likelihood_warning` of the model's parts to each of its log-likelihoods."""
    own = [part.likelihood_warning for part in topmost_with_method(model, "likelihood_warning")]
    return [
        replace(each, warning=join_warnings(each.warning, *own))
        if each.quantity == "log_likelihood" and not each.baseline
        else each
        for each in estimates
    ]


def name_scalars(estimates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the values by split and quantity, and by estimator where two estimators share a quantity."""
    values: dict[str, float] = {}
    for row in estimates:
        name = f"{row['split']}/{row['quantity']}"
        values[f"{name}_{row['estimator']}" if name in values else name] = row["value"]
    return values
