"""A trained model before the test data."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from dgm_run import results, rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import Estimate, Estimator
from dgm_run.estimators.baseline_comparison import has_likelihood_without_baseline, warn_if_worse
from dgm_run.estimators.independent_pixels import fit_independent_pixels
from dgm_run.images import grid, is_image
from dgm_run.models.base import outermost
from dgm_run.progress import Terminal
from dgm_run.signals import Interrupted, StopRequest
from dgm_run.way import key


def evaluated(
    model: nn.Module, estimators: Mapping[str, Estimator], data: LoadedDataset, seed: int, display: Terminal,
    stop: StopRequest, show: Callable[[str, np.ndarray], None],
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:  # fmt: skip
    """Looks at the test data, once, with every estimator; `show` takes its pictures by name.

    Returns:
        Rows of results.json, and the values of single examples.
    """

    def report(done: int, total: int) -> None:
        if stop:
            raise Interrupted(stop.signum, "stopped while evaluating, training is done and saved")
        display.evaluated(done, total)

    found: list[Estimate] = []
    seconds: list[float] = []
    for name, estimator in estimators.items():
        display.evaluating(f"{name}: fitting")
        rng.reseed(seed, f"estimate {name}")
        begun = time.monotonic()
        fitted = estimator.fitted(model, data.train, data.valid, report)
        display.evaluating(name)
        estimates = fitted(model, data.test, report)
        if is_image(data.protocol.shape):
            for picture, images in fitted.pictures(model).items():
                show(picture, grid(images, columns=8))
        for plot, picture in fitted.plots().items():
            show(plot, picture)
        found += estimates
        seconds += [time.monotonic() - begun] * len(estimates)
    rng.reseed(seed, "independent pixels")
    unreported = fit_independent_pixels(data) if has_likelihood_without_baseline(found) else None
    compared = warn_if_worse(_with_model_warnings(found, model), unreported)
    rows, values = [], {}
    for estimate, each in zip(compared, seconds, strict=True):
        rows.append(results.row(estimate, "test", each))
        if estimate.values is not None:
            values[key(rows[-1])] = estimate.values
    return rows, values


def _with_model_warnings(estimates: Sequence[Estimate], model: nn.Module) -> list[Estimate]:
    """Adds to each log-likelihood of the model what its parts say that it depends on: their `likelihood_warning`."""
    own = [part.likelihood_warning for part in outermost(model, "likelihood_warning")]
    return [
        replace(each, warning="; ".join(filter(None, (each.warning, *own))) or None)
        if each.quantity == "log_likelihood" and not each.baseline
        else each
        for each in estimates
    ]


def named(estimates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The values by split and quantity, and by estimator where two of them have found the same quantity."""
    values: dict[str, float] = {}
    for row in estimates:
        name = f"{row['split']}/{row['quantity']}"
        values[f"{name}_{row['estimator']}" if name in values else name] = row["value"]
    return values
