"""95% intervals of estimates, and the combination of independent errors."""

import math
from collections.abc import Sequence
from statistics import NormalDist, stdev
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor  # dgm-report uses intervals, and does without the seconds that torch takes

LEVEL = 0.95
"""Level of all stated intervals."""
NORMAL_QUANTILE = 1.959963984540054
"""Quantile of the normal distribution at which a two-sided 95% interval ends, in standard errors."""
CONSISTENCY_LEVEL = 0.99
"""Probability that the spread of repetitions agrees with correct stated errors. Student's t over two values is 6.5
times as wide as a normal interval: at 95% the mean interval of two would be wider than that of one."""


class Margin(NamedTuple):
    """Distances from a value to the ends of its 95% interval.

    Attributes:
        below: to the lower end, not negative.
        above: to the upper end, not negative.
    """

    below: float = 0.0
    above: float = 0.0

    @classmethod
    def student(cls, stderr: float, freedom: float = math.inf) -> "Margin":
        """Returns the margin of a mean with this standard error and these degrees of freedom."""
        half = student_quantile(freedom) * stderr
        return cls(half, half)

    @classmethod
    def from_interval(cls, value: float, interval: Sequence[float]) -> "Margin":
        """Returns the margin of a value with this interval; a side is zero where the value lies beyond its end."""
        low, high = interval
        return cls(max(0.0, value - low), max(0.0, high - value))

    @property
    def stderr(self) -> float:
        """Standard error of the normal distribution whose 95% interval has the same width."""
        return (self.below + self.above) / (2 * NORMAL_QUANTILE)

    def scale(self, factor: float) -> "Margin":
        """Returns the margin of the value times a factor; a negative one exchanges the sides."""
        below = abs(factor) * self.below
        above = abs(factor) * self.above
        return Margin(below, above) if factor >= 0 else Margin(above, below)

    def around(self, value: float) -> tuple[float, float]:
        """Returns the ends of the interval."""
        return value - self.below, value + self.above


NO_MARGIN = Margin()
"""Margin of an exact number."""

Limits = tuple[float | None, float | None]
"""Least and largest value that a quantity can have; None where there is none."""


def clip_interval(interval: Sequence[float], limits: Limits) -> tuple[float, float]:
    """Clips an interval to the limits of its quantity; an interval wholly beyond them, which shows a bug, stays."""
    low, high = interval
    least, most = limits
    clipped = (low if least is None else max(low, least), high if most is None else min(high, most))
    return clipped if clipped[0] <= clipped[1] else (low, high)


def combine(*margins: Margin) -> Margin:
    """Returns the margin of a sum of values with independent errors: each side is the root of the sum of squares.

    Source: G. Zou, A. Donner, Construction of confidence limits about effect measures, 2008 (the MOVER method).
    """
    return Margin(math.hypot(*(each.below for each in margins)), math.hypot(*(each.above for each in margins)))


def margin_of_mean(values: Sequence[float], stated: Sequence[Margin]) -> Margin:
    """Returns the margin of computing of the mean of R evaluations by independent draws.

    The symmetric part of a stated margin falls with the root of R. The excess of one side counts as a bias, which all
    evaluations share, and stays. Where the spread of the values contradicts the stated errors, the margin is that of
    Student's t over the values if it is wider.

    Args:
        values: values of the evaluations, two at least.
        stated: their margins of computing.
    """
    num = len(values)
    falling = math.hypot(*map(min, stated)) / num
    # where both sides are infinite, neither exceeds the other
    below = falling + sum(each.below - each.above for each in stated if each.below > each.above) / num
    above = falling + sum(each.above - each.below for each in stated if each.above > each.below) / num
    if not contradicts(values, stated):
        return Margin(below, above)
    by_spread = Margin.student(stdev(values) / math.sqrt(num), num - 1)
    return Margin(max(by_spread.below, below), max(by_spread.above, above))


def contradicts(values: Sequence[float], stated: Sequence[Margin]) -> bool:
    """Tests whether values spread more than their stated margins explain, by chi-square at 1%.

    The expected variance of the values is the mean of the stated variances, so a single margin that is far too short
    decides nothing. Any spread contradicts margins of zero.
    """
    if not all(map(math.isfinite, values)):
        return False
    freedom = len(values) - 1
    variance = sum(each.stderr**2 for each in stated) / len(stated)
    return stdev(values) ** 2 * freedom > chi_square_quantile(freedom, CONSISTENCY_LEVEL) * variance


class Bias(NamedTuple):
    """A known bias of a value: its intervals reach further by the bias, towards the truth.

    Attributes:
        value: expectation of the value less the truth.
        stderr: standard error of the estimated bias.
    """

    value: float = 0.0
    stderr: float = 0.0

    def scale(self, factor: float) -> "Bias":
        """Returns the bias of the value times a factor."""
        return Bias(factor * self.value, abs(factor) * self.stderr)

    def widen(self, margin: Margin) -> Margin:
        """Returns the margin of the value, given the margin of its random errors.

        The bias adds to one side as it is, and its error as an independent error.
        """
        error = NORMAL_QUANTILE * self.stderr
        if self.value > 0:
            return Margin(math.hypot(margin.below, error) + self.value, margin.above)
        return Margin(margin.below, math.hypot(margin.above, error) - self.value)


NO_BIAS = Bias()
"""Bias of a value whose expectation is the truth."""


class ComputingErrors(NamedTuple):
    """Errors that computing adds to the mean over examples.

    Attributes:
        common: margin of the error that all examples share, like the error of log Z.
        draws: margin of the error from independent draws for each example; the scatter over the examples includes it.
        bias: expectation of the value less the exact value, as far as it is known.
    """

    common: Margin = NO_MARGIN
    draws: Margin = NO_MARGIN
    bias: Bias = NO_BIAS

    def scale(self, factor: float) -> "ComputingErrors":
        """Returns the errors of the value times a factor."""
        return ComputingErrors(self.common.scale(factor), self.draws.scale(factor), self.bias.scale(factor))

    @property
    def margin(self) -> Margin:
        """Margin of the value as an estimate of the exact value on the same examples."""
        return self.bias.widen(combine(self.common, self.draws))

    def add_examples(self, examples: Margin) -> Margin:
        """Returns the margin over the population of examples, given the margin of the scatter over these examples."""
        return self.bias.widen(combine(examples, self.common))


NO_ERRORS = ComputingErrors()
"""Errors of exact computing."""


def student_quantile(freedom: float, level: float = LEVEL) -> float:
    """Returns the quantile of Student's t at which a two-sided interval of this level ends."""
    from scipy.special import stdtrit  # a fifth of a second

    if math.isinf(freedom):
        return NormalDist().inv_cdf(0.5 + level / 2)
    return float(stdtrit(freedom, 0.5 + level / 2))


def chi_square_quantile(freedom: float, level: float) -> float:
    """Returns the chi-square quantile below which a share `level` of the distribution lies."""
    from scipy.special import chdtri  # a fifth of a second

    return float(chdtri(freedom, 1 - level))


def mean_and_stderr(values: "Tensor") -> tuple[float, float | None]:
    """Returns the mean over examples and its standard error, in float64; one example has no standard error."""
    values = values.double()
    stderr = (values.std() / len(values) ** 0.5).item() if len(values) > 1 else None
    return values.mean().item(), stderr
