"""log Z of an energy model: what stands between its free energy and a likelihood."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from dgm_run.errors import ConfigError
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.intervals import NO_MARGIN, Margin
from dgm_run.models.energy.base import EnergyModel


@dataclass(frozen=True)
class LogPartition:
    """log Z, and how it was found.

    Attributes:
        value: nats.
        method: exact, or the name of the estimator.
        margin: of the value.
        settings: of the estimator.
        diagnostics: what it saw of itself.
        warning: why it is not to be trusted.
    """

    value: float
    method: str
    margin: Margin = NO_MARGIN
    settings: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, float | None] = field(default_factory=dict)
    warning: str | None = None


class PartitionFunction(ABC):
    """A frozen dataclass of settings, called on a model."""

    @abstractmethod
    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        """log Z of the model, in nats; `report` is told how far the work has come."""


MAX_LOG2_STATES = 28
"""The most that anyone would wait for."""


@dataclass(frozen=True)
class Exact(PartitionFunction):
    """By enumeration, in blocks and in float64.

    Args:
        max_log2_states: at most 2^max_log2_states terms; 2^20 of them take some 10 s for 784 pixels.

    Raises:
        ValueError: the limit is negative, or beyond what anyone would wait for.
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
    """By enumeration where there are few states, else by an estimate.

    Args:
        max_log2_states: the most terms that are summed, as a power of two.
        fallback: the estimator for larger models.
    """

    max_log2_states: float
    fallback: PartitionFunction

    def __post_init__(self):
        Exact(self.max_log2_states)  # which says what is wrong with it

    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        method = Exact(self.max_log2_states) if model.log2_states <= self.max_log2_states else self.fallback
        return method(model, report)
