"""Space of a search: overrides of the command as distributions of Optuna, and the overrides of a trial."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from dgm_run.errors import ConfigError


@dataclass(frozen=True)
class SearchSpace:
    """Overrides that all trials share, and the distributions of the searched keys.

    Attributes:
        fixed: overrides of every trial.
        distributions: distribution of each searched key; the key has its + if there is one.
    """

    fixed: Sequence[str]
    distributions: Mapping[str, BaseDistribution]

    def write_overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Writes the overrides of a trial with these values."""
        return [*self.fixed, *(f"{key}={value}" for key, value in params.items())]

    def make_examples(self) -> list[dict[str, Any]]:
        """Returns values of trials that hold each choice once, to be composed before the search begins."""
        num_choices = [
            len(each.choices) for each in self.distributions.values() if isinstance(each, CategoricalDistribution)
        ]
        return [
            {key: _get_example(distribution, i) for key, distribution in self.distributions.items()}
            for i in range(max(num_choices, default=1))
        ]


def parse_space(overrides: Sequence[str], config_loader: ConfigLoader) -> SearchSpace:
    """Parses the overrides of a search. Of several with one key the last counts.

    Args:
        overrides: overrides as for a sweep: choice, range, interval, glob, tag(log, ...), lists with commas, values.
        config_loader: loader that knows the choices of a group, for glob.

    Raises:
        ConfigError: no key is searched, or a distribution is not possible.
    """
    parsed = OverridesParser.create(config_loader=config_loader).parse_overrides(list(overrides))
    by_key = {each.get_key_element(): each for each in parsed}
    distributions = {key: _make_distribution(each) for key, each in by_key.items() if each.is_sweep_override()}
    if not distributions:
        raise ConfigError(
            "the search has no key to choose: write KEY=choice(A,B), or 'KEY=interval(LOW,HIGH)', or "
            "'KEY=tag(log,interval(LOW,HIGH))'"
        )
    fixed = [str(each.input_line) for key, each in by_key.items() if key not in distributions]
    return SearchSpace(fixed, distributions)


def _make_distribution(override: Override) -> BaseDistribution:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _make_interval(value)
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _make_range(value, override.sweep_iterator())
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {str(error).splitlines()[0]}") from None


def _make_interval(interval: IntervalSweep) -> BaseDistribution:
    assert interval.start is not None
    assert interval.end is not None
    is_log = "log" in interval.tags
    if isinstance(interval.start, int) and isinstance(interval.end, int):
        return IntDistribution(interval.start, interval.end, log=is_log)
    return FloatDistribution(interval.start, interval.end, log=is_log)


def _make_range(sweep: RangeSweep, values: Iterable[Any]) -> BaseDistribution:
    """Makes a distribution over the values of a range, which does not hold its stop, as in a sweep."""
    values = sorted(values)
    is_log = "log" in sweep.tags
    if all(isinstance(each, int) for each in values):
        return IntDistribution(values[0], values[-1], step=abs(int(sweep.step)), log=is_log)
    low = Decimal(str(values[0]))
    step = abs(Decimal(str(sweep.step)))
    high = low + step * (len(values) - 1)  # the values of the range are rounded
    return FloatDistribution(float(low), float(high), step=float(step), log=is_log)


def _get_example(distribution: BaseDistribution, i: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[i % len(distribution.choices)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.low
