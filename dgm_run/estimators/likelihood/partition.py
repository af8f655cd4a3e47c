"""Log partition function of an energy model, exact or estimated."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from dgm_run.errors import ConfigError
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.intervals import NO_MARGIN, Margin
from dgm_run.models.energy.base import EnergyModel


@dataclass(frozen=True)
class LogPartition:
    """log Z with its method and error.

    Attributes:
        value: log Z, nats.
        method: exact, or the name of the estimator.
        margin: margin of the value.
        settings: settings of the estimator.
        diagnostics: diagnostics of the estimator.
        warning: reason to distrust the value.
    """

    value: float
    method: str
    margin: Margin = NO_MARGIN
    settings: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, float | None] = field(default_factory=dict)
    warning: str | None = None


class PartitionFunction(ABC):
    """Method for log Z: a frozen dataclass of settings, called on a model."""

    @abstractmethod
    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        """Returns log Z of the model, nats; `report` receives the progress."""


MAX_LOG2_STATES = 28
"""Largest limit of an enumeration; more states take hours."""


@dataclass(frozen=True)
class Exact(PartitionFunction):
    """log Z by enumeration, in blocks and in float64.

    Args:
        max_log2_states: log2 of the largest number of terms; 2^20 of them take some 10 s for 784 pixels.

    Raises:
        ValueError: the limit is negative, or above `MAX_LOG2_STATES`.
    """

    max_log2_states: float

    def __post_init__(self):
        if not 0 <= self.max_log2_states <= MAX_LOG2_STATES:
            raise ValueError(f"max_log2_states = {self.max_log2_states} must lie between 0 and {MAX_LOG2_STATES}")

    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        if model.log2_states > self.max_log2_states:
            raise ConfigError(
                f"an exact likelihood would sum 2^{model.log2_states:.0f} states, and max_log2_states = "
                f"{self.max_log2_states:g}: take fewer hidden units, or estimators=[energy]"
            )
        return LogPartition(model.log_partition().item(), "exact")


@dataclass(frozen=True)
class ExactWhereItFits(PartitionFunction):
    """log Z by enumeration where there are few states, else by an estimator.

    Args:
        max_log2_states: log2 of the largest number of terms of an enumeration.
        fallback: the estimator for larger models.
    """

    max_log2_states: float
    fallback: PartitionFunction

    def __post_init__(self):
        Exact(self.max_log2_states)  # raises on a bad limit

    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        method = Exact(self.max_log2_states) if model.log2_states <= self.max_log2_states else self.fallback
        return method(model, report)
