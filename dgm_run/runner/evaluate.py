"""A trained model before the test data."""

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
from dgm_run.errors import ResultsError, UserError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback
from dgm_run.estimators.baseline_comparison import has_likelihood_without_baseline, warn_if_worse
from dgm_run.estimators.baselines.independent_pixels import fit_independent_pixels
from dgm_run.estimators.limits import add_limits
from dgm_run.estimators.repeats import average_repeats
from dgm_run.memory import out_of_memory
from dgm_run.models.base import topmost_with_method
from dgm_run.recording.estimate_id import values_key
from dgm_run.recording.image_grid import grid, is_image
from dgm_run.recording.terminal import Terminal
from dgm_run.runner import results


class Evaluation(NamedTuple):
    """What estimators found.

    Attributes:
        rows: of results.json.
        values: of single examples, by `way.key`, (N,) each.
        failed: why an estimator failed, by its name.
    """

    rows: list[dict[str, Any]]
    values: dict[str, np.ndarray]
    failed: dict[str, str]


def evaluate_test_set(
    model: nn.Module, estimators: Mapping[str, Estimator], data: LoadedDataset, seed: int, display: Terminal,
    stop: StopRequest, show: Callable[[str, np.ndarray], None],
) -> Evaluation:  # fmt: skip
    """Looks at the test data, once, with every estimator; `show` takes its pictures by name.

    An estimator that fails costs its own numbers alone. Several processes cannot go on after it, since the others may
    wait for the one in which it failed.

    Raises:
        Interrupted: a signal asked to stop.
        ResultsError: an estimator failed in one of several processes.
    """

    def report(done: int, total: int) -> None:
        if stop:
            raise Interrupted(stop.signum, "stopped while evaluating, training is done and saved")
        display.evaluated(done, total)

    found: list[Estimate] = []
    seconds: list[float] = []
    failed: dict[str, str] = {}
    for name, estimator in estimators.items():
        model.eval()
        try:
            with out_of_memory(_advice(name, estimator)):
                estimates, took, fitted = _estimate(model, name, estimator, data, seed, display, report)
        except (Exception, SystemExit) as error:
            display.finish()
            display.keep(traceback.format_exc())
            if process_group.size() > 1:
                if isinstance(error, RuntimeError) and not isinstance(error, torch.linalg.LinAlgError):
                    raise  # it may be that another process is lost
                told = f"estimators.{name} failed: {reason(error)}; training is done and saved"
                raise ResultsError(f"{told}: set trainer.devices=1 to find what the other estimators do") from None
            failed[name] = reason(error)
            display.say(f"estimators.{name} failed: {failed[name]}")
            continue
        found += estimates
        seconds += [took] * len(estimates)
        with announce(display, f"the pictures of estimators.{name}"):
            _show(model, fitted, data, show)
    found = _with_model_warnings(found, model)
    with announce(display, "the comparison with baselines"):
        rng.reseed(seed, "independent pixels")
        unreported = fit_independent_pixels(data) if has_likelihood_without_baseline(found) else None
        found = warn_if_worse(found, unreported)
    rows = [results.estimate_row(estimate, "test", took) for estimate, took in zip(found, seconds, strict=True)]
    values = {values_key(row): each.values for row, each in zip(rows, found, strict=True) if each.values is not None}
    return Evaluation(rows, {name: each.detach().float().cpu().numpy() for name, each in values.items()}, failed)


def _estimate(
    model: nn.Module,
    name: str,
    estimator: Estimator,
    data: LoadedDataset,
    seed: int,
    display: Terminal,
    report: ProgressCallback,
) -> tuple[list[Estimate], float, Estimator]:
    """What one estimator finds, the seconds it takes, and the estimator as it was fitted.

    The first repeat goes on with the random numbers that fitting has left, each other one begins with its own.
    """
    display.evaluating(f"{name}: fitting")
    begun = time.monotonic()
    stream = f"estimate {name}"
    rng.reseed(seed, stream, estimator.seed)
    fitted = estimator.fit(model, data.train, data.valid, report)
    repeats = []
    for repeat in range(estimator.repeats):
        if repeat:
            rng.reseed(seed, stream, estimator.seed + repeat)
        display.evaluating(f"{name}: repeat {repeat + 1} of {estimator.repeats}" if estimator.repeats > 1 else name)
        repeats.append(fitted(model, data.test, report))
    is_discrete = data.dataset.kind != "continuous"
    estimates = [add_limits(each, is_discrete) for each in average_repeats(repeats, estimator.seed)]
    seconds = time.monotonic() - begun
    for estimate in estimates:
        results.check_row(results.estimate_row(estimate, "test", seconds))
    return estimates, seconds, fitted


def _show(
    model: nn.Module, fitted: Estimator, data: LoadedDataset, show: Callable[[str, np.ndarray], None]
) -> None:  # fmt: skip
    if is_image(data.dataset.shape):
        for picture, images in fitted.pictures(model).items():
            show(picture, grid(data.dataset.preprocessing.restore(images), columns=8))
    for name, plot in fitted.plots().items():
        show(name, plot)


def _advice(name: str, estimator: Estimator) -> str:
    """Names the settings of an estimator that may be too large."""
    own = {name: value for name, value in vars(estimator).items() if name not in ("seed", "repeats")}
    settings = {k: v for k, v in own.items() if isinstance(v, int) and not isinstance(v, bool) and v > 1}
    told = ", ".join(f"estimators.{name}.{k}={v}" for k, v in settings.items())
    return f"lower {told or 'trainer.eval_batch_size'}"


@contextmanager
def announce(display: Terminal, what: str) -> Iterator[None]:
    """Says that the block failed, and goes on: nothing of a run depends on it."""
    try:
        yield
    except Exception as error:
        display.say(f"{what} failed: {reason(error)}")
        display.keep(traceback.format_exc())


def reason(error: BaseException) -> str:
    """Returns an error in a line: a message for the user as it is, any other with its class."""
    message = " ".join(str(error).split())
    return message if isinstance(error, UserError) else f"{type(error).__name__.lstrip('_')}: {message}"


def _with_model_warnings(estimates: Sequence[Estimate], model: nn.Module) -> list[Estimate]:
    """Adds to each log-likelihood of the model what its parts say that it depends on: their `likelihood_warning`."""
    own = [part.likelihood_warning for part in topmost_with_method(model, "likelihood_warning")]
    return [
        replace(each, warning="; ".join(filter(None, (each.warning, *own))) or None)
        if each.quantity == "log_likelihood" and not each.baseline
        else each
        for each in estimates
    ]


def scalar_names(estimates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The values by split and quantity, and by estimator where two of them have found the same quantity."""
    values: dict[str, float] = {}
    for row in estimates:
        name = f"{row['split']}/{row['quantity']}"
        values[f"{name}_{row['estimator']}" if name in values else name] = row["value"]
    return values
