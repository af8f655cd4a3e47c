"""Estimates and estimators: numbers with their method, settings and error."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
from torch import Tensor, nn

from dgm_run.config.bounds import NOT_NEGATIVE
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Limits, Margin, clip_interval, mean_and_stderr

Kind = Literal["exact", "lower_bound", "upper_bound", "estimate"]

M = TypeVar("M", bound=nn.Module, contravariant=True)
"""Kind of model that an estimator goes with."""


class Baseline(NamedTuple):
    """A simple density that a model has to beat.

    Attributes:
        name: name of the baseline.
        log_p: log p(x) of each example under the baseline, in the order of the split, (N,), nats, float64 on the CPU.
        advice: advice to the user where a model is worse.
    """

    name: str
    log_p: Tensor
    advice: str


@dataclass(frozen=True)
class Estimate:
    """A number about a model and a data split, per example.

    Attributes:
        quantity: name of the quantity, e.g. log_likelihood.
        estimator: name of the method.
        kind: exact, a bound, or an estimate.
        value: mean over the examples.
        stderr: standard error of the value, over the choice of examples and the draws of the estimator together; None
            where it is not known. A value that is not finite has neither an error nor an interval.
        num_examples: number of examples used.
        unit: nats by default.
        settings: settings of the estimator.
        diagnostics: effective sample sizes, acceptance rates and the like; None where one is not known or is NaN.
        warning: reason to distrust the number, or a failure that it shows.
        train_reference: value with training examples in place of samples; a perfect model would reach it.
        interval: 95% interval of the quantity over the population of examples. Its default is Student's t interval with
            this standard error.
        computing_interval: 95% interval of the exact value on the same examples; None where computing is exact, or its
            error is not known.
        limits: least and largest value that the quantity can have, None for none; the intervals end there.
        values: value of each example of the whole split, in its order, (N,), which pair two runs; None for a part.
        example_columns: further numbers of each example by name, (N,): stderr (of computing its value, in the unit of
            the value), ess, pareto_k.
        baseline: the baseline that the number belongs to; None for the model itself.
    """

    quantity: str
    estimator: str
    kind: Kind
    value: float
    stderr: float | None
    num_examples: int
    unit: str = "nats"
    settings: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, float | None] = field(default_factory=dict)
    warning: str | None = None
    train_reference: float | None = None
    interval: tuple[float, float] | None = None
    computing_interval: tuple[float, float] | None = None
    limits: Limits | None = None
    values: Tensor | None = field(default=None, repr=False, compare=False)
    example_columns: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    baseline: Baseline | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        if not math.isfinite(self.value):
            for name in ("stderr", "interval", "computing_interval"):
                object.__setattr__(self, name, None)
        elif self.interval is None and self.stderr is not None:
            margin = Margin.student(self.stderr, max(1, self.num_examples - 1))
            object.__setattr__(self, "interval", margin.around(self.value))
        for name in ("interval", "computing_interval"):
            if self.limits and getattr(self, name):
                object.__setattr__(self, name, clip_interval(getattr(self, name), self.limits))
        diagnostics = {name: _none_for_nan(value) for name, value in self.diagnostics.items()}
        object.__setattr__(self, "diagnostics", diagnostics)

    @classmethod
    def over(
        cls,
        values: Tensor,
        quantity: str,
        estimator: str,
        kind: Kind,
        errors: ComputingErrors = NO_ERRORS,
        **more,
    ) -> "Estimate":
        """Averages the values of all examples of a split and states the errors of examples and of computing.

        Args:
            values: value of each example, in the order of the split, (N,).
            quantity, estimator, kind, more: fields of the `Estimate`.
            errors: errors of computing.
        """
        values = values.double().cpu()
        value, stderr = mean_and_stderr(values)
        computing = errors.margin
        interval = None
        if stderr is not None:
            interval = errors.add_examples(Margin.student(stderr, len(values) - 1)).around(value)
            stderr = math.hypot(stderr, errors.common.stderr)
        more["computing_interval"] = computing.around(value) if any(computing) else None
        return cls(quantity, estimator, kind, value, stderr, len(values), interval=interval, values=values, **more)


def _none_for_nan(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


class Method(TypedDict):
    """Method by which the likelihood of a split was estimated; all its rows share these fields of `Estimate`."""

    estimator: str
    kind: Kind
    errors: ComputingErrors
    settings: dict[str, Any]
    diagnostics: dict[str, float | None]


ProgressCallback = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """Ignores the progress."""


def continue_progress(report: ProgressCallback, past: int) -> ProgressCallback:
    """Returns a callback for work that follows `past` finished parts, so that the pace counts them too."""
    return lambda done, total: report(past + done, past + total)


class FineProgress:
    """Progress callback that counts parts of the work on each example, so that it also advances within a block.

    Args:
        report: receives the parts done and the parts in all.
        num_examples: number of examples in all.
        num_parts: number of parts of the work on each example.
    """

    def __init__(self, report: ProgressCallback, num_examples: int, num_parts: int):
        self.report = report
        self.total = num_examples * num_parts
        self.num_parts = num_parts
        self.done = 0
        self.reported = 0

    def __call__(self, done: int, total: int) -> None:
        self.done = done * self.num_parts
        self._report(self.done)

    def report_parts(self, num_examples: int, parts_done: int) -> None:
        """Reports the parts that are done of each of the `num_examples` examples of the current block."""
        self._report(min(self.total, self.done + num_examples * parts_done))

    def _report(self, done: int) -> None:
        if done > self.reported:
            self.reported = done
            self.report(done, self.total)


@dataclass(frozen=True, kw_only=True)
class Estimator(ABC, Generic[M]):
    """A frozen dataclass of settings, called on a model in evaluation mode and the examples of one split.

    Attributes:
        seed: seed of the estimator's own draws, apart from the seed of the run.
        repeats: number of evaluations, under `seed` and the seeds that follow it; their mean is reported. `fit` is
            called once, under the first seed.
        requires: kinds of model that the estimator accepts.
        takes_corrupted: whether the estimator accepts corrupted data.
        gives_log_likelihood: whether a row states the log-likelihood, with the value of each example.
    """

    seed: Annotated[int, NOT_NEGATIVE] = 0
    repeats: int = 1

    requires: ClassVar[dict[str, type]] = {}
    takes_corrupted: ClassVar[bool] = False
    gives_log_likelihood: ClassVar[bool] = False

    def check(self, model: M, data: LoadedDataset) -> None:
        """Refuses a model or data that the estimator cannot evaluate, before the training.

        Raises:
            ConfigError: one line that says what to choose instead.
        """

    def for_other_data(self, data: LoadedDataset) -> "Estimator[M]":
        """Returns the estimator for data other than those that the model was trained on; most need no change.

        Raises:
            ConfigError: the estimator means nothing there; one line says what to choose instead.
        """
        return self

    def fit(
        self, model: M, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Estimator[M]":
        """Returns the estimator fitted to training and validation examples; most need no fit and return themselves."""
        return self

    @abstractmethod
    def __call__(self, model: M, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        """Averages over the examples of `data`.

        Args:
            model: a model of the kind in `requires`, in evaluation mode.
            data: one split.
            report: receives the progress, as (parts done, parts in all).
        """

    def require_positive(self, *names: str) -> None:
        """Checks settings at construction.

        Raises:
            ValueError: a setting is not positive.
        """
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} must be positive")

    def pictures(self, model: M) -> dict[str, Tensor]:
        """Returns images (N, *shape) by name, to be shown in rows of eight, after `fit`."""
        return {}

    def row_labels(self) -> dict[str, list[str]]:
        """Returns labels for equal parts of the rows of pictures, by name; none for pictures that need none."""
        return {}

    def plots(self) -> dict[str, np.ndarray]:
        """Draws curves and histograms of the last call, by name: (H, W, 3) bytes."""
        return {}
