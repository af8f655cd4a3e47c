"""What is reported: numbers with their method, settings and error."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
from torch import Tensor, nn

from dgm_run.config.bounds import NOT_NEGATIVE
from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.estimators.intervals import NO_ERRORS, ComputingErrors, Limits, Margin, clip_interval, mean_and_stderr

Kind = Literal["exact", "lower_bound", "upper_bound", "estimate"]

M = TypeVar("M", bound=nn.Module, contravariant=True)
"""Kind of model that an estimator goes with."""


class Baseline(NamedTuple):
    """What a model has to beat.

    Attributes:
        name: of the baseline.
        log_p: its log p(x) of each example of the split, in its order, (N,), nats, in float64 on the CPU.
        advice: what to try where a model is worse.
    """

    name: str
    log_p: Tensor
    advice: str


@dataclass(frozen=True)
class Estimate:
    """One number about a model and a data split, per example.

    Attributes:
        quantity: what it is, e.g. log_likelihood.
        estimator: how it was found.
        kind: exact, a bound, or an estimate.
        value: mean over the examples.
        stderr: standard error of the value, of the choice of the examples and of computing together; None where it
            has none. A value that is not finite has neither an error nor an interval.
        num_examples: how many examples were used.
        unit: nats unless said otherwise.
        settings: of the estimator.
        diagnostics: what it saw of itself: effective sample sizes, acceptance rates; None for what is not known, and in
            the place of NaN.
        warning: why the number is not to be trusted, or what it shows to have gone wrong.
        train_reference: the same number with training examples in the place of samples: what a perfect model would
            reach.
        interval: 95% interval of what the value estimates, over all examples that could have been drawn; by Student's t
            of the standard error where it is left out.
        computing_interval: 95% interval of what exact computing would find on these very examples; None where computing
            is exact, or adds an error that is not known.
        limits: least and largest value that the quantity can have, None for none; the intervals end there.
        values: of each example where the whole split was looked at, in its order, (N,): two runs are compared by them.
        baseline: whose number it is, where it is not that of the model.
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
        known = {
            name: None if value is None or math.isnan(value) else value for name, value in self.diagnostics.items()
        }
        object.__setattr__(self, "diagnostics", known)

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
        """The mean of what each example of a whole split has, with the errors of its examples and of computing.

        Args:
            values: of each example, in their order, (N,).
            quantity, estimator, kind, more: as of an `Estimate`.
            errors: of computing.
        """
        values = values.double().cpu()
        value, stderr = mean_and_stderr(values)
        computing, interval = errors.margin, None
        if stderr is not None:
            interval = errors.add_examples(Margin.student(stderr, len(values) - 1)).around(value)
            stderr = math.hypot(stderr, errors.common.stderr)
        more["computing_interval"] = computing.around(value) if any(computing) else None
        return cls(quantity, estimator, kind, value, stderr, len(values), interval=interval, values=values, **more)


class Method(TypedDict):
    """How the likelihood of a split was found, for all numbers that tell it; the fields are those of `Estimate`."""

    estimator: str
    kind: Kind
    errors: ComputingErrors
    settings: dict[str, Any]
    diagnostics: dict[str, float | None]


ProgressCallback = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """A report that goes nowhere."""


class FineProgress:
    """A report of the examples done that is told, in between, of the parts of the block at work.

    Args:
        report: told of all of them.
        num_examples: in all.
        num_parts: of the work on each.
    """

    def __init__(self, report: ProgressCallback, num_examples: int, num_parts: int):
        self.report, self.total, self.num_parts = report, num_examples * num_parts, num_parts
        self.done = self.told = 0

    def __call__(self, done: int, total: int) -> None:
        self.done = done * self.num_parts
        self._tell(self.done)

    def within(self, num_examples: int, parts_done: int) -> None:
        """So many parts of the work on each of the examples of a block are done."""
        self._tell(min(self.total, self.done + num_examples * parts_done))

    def _tell(self, done: int) -> None:
        if done > self.told:
            self.told = done
            self.report(done, self.total)


@dataclass(frozen=True, kw_only=True)
class Estimator(ABC, Generic[M]):
    """A frozen dataclass of settings, called on a model in evaluation mode and the examples of one split.

    Attributes:
        seed: of its own draws, apart from the seed of the run.
        repeats: evaluations, under `seed` and the seeds that follow it; their mean is reported. What has to be fitted
            is fitted once, under the first of them.
        requires: the kinds of model it goes with.
        takes_corrupted: whether it can do with what is left of corrupted data.
    """

    seed: Annotated[int, NOT_NEGATIVE] = 0
    repeats: int = 1

    requires: ClassVar[dict[str, type]] = {}
    takes_corrupted: ClassVar[bool] = False

    def check(self, model: M, data: LoadedDataset) -> None:
        """Refuses what it will not be able to evaluate, before the model is trained.

        Raises:
            ConfigError: one line that says what to choose instead.
        """

    def fit(
        self, model: M, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Estimator[M]":
        """The estimator with what it has to learn from training and validation examples first; most have nothing to."""
        return self

    @abstractmethod
    def __call__(self, model: M, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        """Averages over the examples of `data`.

        Args:
            model: of the kind in `requires`, in evaluation mode.
            data: one split.
            report: told how far the work has come, as (parts done, parts in all).
        """

    def pictures(self, model: M) -> dict[str, Tensor]:
        """What there is to see of its work, once `fitted`: images (N, *shape) by name, to be shown in rows of eight."""
        return {}

    def plots(self) -> dict[str, np.ndarray]:
        """Curves and histograms of what it found at its last call, by name: (H, W, 3) bytes."""
        return {}
