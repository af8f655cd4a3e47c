"""Importance weights that arrive in chunks, and the errors of estimates from finitely many of them.

Sources: T. Rainforth et al., On nesting Monte Carlo estimators, 2018, https://arxiv.org/abs/1709.06181 (the logarithm
of a mean of S weights has a bias of order 1 / S); A. Vehtari et al., Pareto smoothed importance sampling, 2024,
https://arxiv.org/abs/1507.02646.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.estimators.intervals import NO_BIAS, NO_MARGIN, Bias, ComputingErrors, Margin
from dgm_run.estimators.likelihood.pareto import UNRELIABLE_K, LargestWeights

JACKKNIFE_GROUPS = 32
"""Number of groups of samples that all examples share; the jackknife leaves each out in turn."""
NUM_GROUPS = 8
"""Number of groups of samples whose estimates are compared, a power of two. More groups extrapolate further."""
ASYMPTOTIC_RATIO = 0.5
"""Factor by which twice as many samples lower bias and variance where weights have a variance and S is large."""
RATIO_RANGE = (0.4, 0.85)
"""Range of that factor: few bounded weights fall faster, weights with heavy tails slower."""
RATIO_STDERR = 0.06
"""Standard error of extrapolating the factor beyond S samples: for VAEs of digits it rises by up to 0.1."""
MAX_HEAVY_SHARE = 0.25
"""Share of examples with a heavy tail of weights above which a warning is given."""


class SamplingError(NamedTuple):
    """Error of a mean of log estimates from finitely many samples, nats.

    Attributes:
        stderr: standard error of the mean on the same examples; None where it is not known.
        bias: bias of the mean; None where it is not known.
        freedom: degrees of freedom of the standard error.
    """

    stderr: float | None = None
    bias: Bias | None = None
    freedom: float = math.inf

    @property
    def margin(self) -> Margin:
        """Margin of the random error alone; no margin where it is not known."""
        return NO_MARGIN if self.stderr is None else Margin.student(self.stderr, self.freedom)

    @property
    def of_independent_samples(self) -> ComputingErrors:
        """Errors where each example has samples of its own."""
        return ComputingErrors(draws=self.margin, bias=self.bias or NO_BIAS)

    @property
    def of_shared_samples(self) -> ComputingErrors:
        """Errors where all examples share the samples."""
        return ComputingErrors(common=self.margin, bias=self.bias or NO_BIAS)


class StreamingWeights:
    """Sums of importance weights, given as (S, B) log weights in chunks, in bounded memory and float64.

    Sample s belongs to group s mod G. The last S mod G samples belong to none, so that all groups have one size.
    Estimates by single groups, and by groups taken together, show the fall of bias and variance with the number of
    samples.

    Args:
        num_samples: S, the number of samples in all.
        num_examples: B.
        device: device of the log weights.
        num_groups: largest G, a power of two.

    Attributes:
        num_grouped: number of samples that belong to a group.
        log_sums: log of the sum of the weights of each group, (G, B), float64.
    """

    def __init__(self, num_samples: int, num_examples: int, device: torch.device, num_groups: int = NUM_GROUPS):
        self.num_samples = num_samples
        max_groups = num_samples if num_samples < 8 else num_samples // 2  # a group of one sample is too noisy
        self.num_groups = min(num_groups, 1 << (max_groups.bit_length() - 1))
        self.num_grouped = num_samples - num_samples % self.num_groups
        shape = (self.num_groups, num_examples)
        self.log_sums = torch.full(shape, -math.inf, dtype=torch.float64, device=device)
        self.log_rest = self.log_sums[0].clone()
        self.log_sum_squares = self.log_sums[0].clone()
        self.largest = LargestWeights(num_samples, num_examples, device)

    def add(self, log_w: Tensor, first: int) -> None:
        """Adds the log weights of samples `first`, `first` + 1, ... of each example, (S', B)."""
        self.largest.add(log_w)
        log_w = log_w.double()
        self.log_sum_squares = torch.logaddexp(self.log_sum_squares, (2 * log_w).logsumexp(0))
        num_grouped = min(max(self.num_grouped - first, 0), len(log_w))
        grouped = log_w[:num_grouped]
        rest = log_w[num_grouped:]
        if len(rest):
            self.log_rest = torch.logaddexp(self.log_rest, rest.logsumexp(0))
        if len(grouped):
            before = first % self.num_groups
            after = -(before + num_grouped) % self.num_groups
            padded = F.pad(grouped, (0, 0, before, after), value=-math.inf)
            rounds = padded.view(-1, *self.log_sums.shape)
            self.log_sums = torch.logaddexp(self.log_sums, rounds.logsumexp(0))

    def join(self) -> None:
        """Merges the sums of the other processes, which have other samples."""
        for name in ("log_sums", "log_rest", "log_sum_squares"):
            setattr(self, name, process_group.all_gather(getattr(self, name)).logsumexp(0))
        self.largest.join()

    @property
    def log_sum(self) -> Tensor:
        """log sum_s w_s of each example, (B,)."""
        return torch.logaddexp(self.log_sums.logsumexp(0), self.log_rest)

    @property
    def log_mean(self) -> Tensor:
        """log 1/S sum_s w_s of each example, (B,)."""
        return self.log_sum - math.log(self.num_samples)

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 of each example, (B,), between 1 and S."""
        return torch.exp(2 * self.log_sum - self.log_sum_squares)

    def level(self, num_parts: int) -> Tensor:
        """Returns the estimates of log p by each of `num_parts` disjoint parts of the groups, (parts, B)."""
        parts = self.log_sums.view(-1, num_parts, self.log_sums.shape[1]).logsumexp(0)
        return parts - math.log(self.num_grouped // num_parts)

    def columns(self) -> dict[str, Tensor]:
        """Returns columns of each example for `sampling_error` and `sampling_diagnostics`: (B, ...) by name.

        The levels have 1, 2, 4, ..., G parts; the first level has no variance.
        """
        levels = [self.level(1 << i) for i in range(self.num_groups.bit_length())]
        columns = {
            "log_p": self.log_mean,
            "ess": self.effective_sample_size,
            "level_means": torch.stack([each.mean(0) for each in levels], 1),
        }
        if len(levels) > 1:
            columns["level_variances"] = torch.stack([each.var(0) for each in levels[1:]], 1)
        pareto_k = self.largest.fit_pareto_k()
        return columns if pareto_k is None else columns | {"pareto_k": pareto_k}


def weigh(log_w: Tensor) -> dict[str, Tensor]:
    """Returns the columns of `StreamingWeights` for all log weights at once, (S, B)."""
    num_samples, num_examples = log_w.shape
    weights = StreamingWeights(num_samples, num_examples, log_w.device)
    weights.add(log_w, 0)
    return weights.columns()


def jackknife_stderr(log_sums: Tensor) -> float | None:
    """Estimates the standard error of the mean over examples of log 1/S sum_s w_s, from samples that all share.

    A linearised error would be far too small where single samples carry the weight of an example.

    Args:
        log_sums: log of the sum of the weights of each group of `StreamingWeights`, (G, N).

    Returns:
        The standard error, or None for a single group, or where one group has all the weight of some example.
    """
    num_groups = len(log_sums)
    if num_groups < 2:
        return None
    # the groups have one size, so the log of their number is the same for all
    means = [torch.cat([log_sums[:g], log_sums[g + 1 :]]).logsumexp(0).mean() for g in range(num_groups)]
    differences = torch.stack(means) - torch.stack(means).mean()
    variance = (num_groups - 1) / num_groups * differences.square().sum().item()
    return math.sqrt(variance) if math.isfinite(variance) else None


def sampling_error(columns: dict[str, Tensor], num_samples: int) -> SamplingError:
    """Estimates bias and standard error of the mean over the examples of log 1/S sum_s w_s.

    Estimates by parts of the samples show both errors at fewer samples. The ratio of successive levels extrapolates
    them to S; averages over the examples make it precise. Neither error allows for mass that no sample has hit.

    Args:
        columns: columns of `StreamingWeights.columns` of all examples, whose samples are independent.
        num_samples: S.
    """
    if "level_variances" not in columns:  # a single sample
        return SamplingError()
    variances = columns["level_variances"].mean(0)
    ratio = _ratio(variances)
    variance = variances[0].item() * ratio * _shrink(ratio, len(variances), num_samples)
    num_examples = len(columns["log_p"])
    stderr = math.sqrt(variance / num_examples) if math.isfinite(variance) else None
    bias = extrapolate_bias(columns["level_means"], num_samples)
    return SamplingError(stderr, bias, freedom=max(1, num_examples - 1))


def extrapolate_bias(levels: Tensor, num_samples: int) -> Bias | None:
    """Estimates the bias of the mean of log estimates by S samples from estimates by S, S/2, S/4, ... samples.

    The bias is minus the sum of the gains from doubling S again and again, a geometric series. Its error comes from the
    finite number of examples, linearised, and from a ratio that varies with S.

    Args:
        levels: levels of each example, or one row of their mean over all examples, (N, levels).
        num_samples: S; the levels use the samples that make groups of one size.

    Returns:
        The bias, or None where some estimate is not finite.
    """
    gains = levels[:, :-1] - levels[:, 1:]  # (N, levels - 1), by twice the samples
    if not gains.isfinite().all():
        return None
    ratio = _ratio(gains.mean(0))
    gain = gains[:, 0].mean().clamp(min=0).item()
    slope = gain / (1 - ratio) ** 2  # derivative of gain * ratio / (1 - ratio) in the ratio
    contributions = ratio / (1 - ratio) * gains[:, 0]  # (N,), of single examples to the bias, linearised
    earlier = gains[:, 1:].sum(1)
    if earlier.mean() > 0 and RATIO_RANGE[0] < ratio < RATIO_RANGE[1]:
        contributions = contributions + slope * (gains[:, :-1].sum(1) - ratio * earlier) / earlier.mean()
    stderr = contributions.std().item() / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    shrink = _shrink(ratio, gains.shape[1], num_samples)
    return Bias(-gain * ratio / (1 - ratio) * shrink, math.hypot(stderr, slope * RATIO_STDERR) * shrink)


def _ratio(values: Tensor) -> float:
    """Estimates the ratio of values in a geometric fall, within `RATIO_RANGE`; `ASYMPTOTIC_RATIO` without a fall."""
    above = values[:-1].sum().item()
    below = values[1:].sum().item()
    if not below > 0:
        return ASYMPTOTIC_RATIO
    return min(max(above / below, RATIO_RANGE[0]), RATIO_RANGE[1])


def _shrink(ratio: float, num_doublings: int, num_samples: int) -> float:
    """Returns the ratio of the error by all S samples to that by the samples in 2^`num_doublings` equal groups."""
    return ratio ** -math.log2(1 - num_samples % (1 << num_doublings) / num_samples)


def sampling_diagnostics(columns: dict[str, Tensor], error: SamplingError) -> dict[str, float | None]:
    """Returns effective sample sizes, tails of the weights and the errors by the samples, over all examples."""
    low, median = columns["ess"].quantile(torch.tensor([0.05, 0.5], dtype=torch.float64)).tolist()
    diagnostics: dict[str, float | None] = {"ess_median": median, "ess_5_percent": low}
    diagnostics |= {"monte_carlo_stderr": error.stderr, "bias": error.bias.value if error.bias else None}
    if "pareto_k" in columns:
        k = columns["pareto_k"]
        diagnostics["pareto_k_median"] = k.median().item()
        diagnostics["pareto_k_high"] = (k > UNRELIABLE_K).double().mean().item()
    return diagnostics


def list_example_columns(columns: dict[str, Tensor], num_samples: int) -> dict[str, Tensor]:
    """Returns numbers of each example by name, (N,): the standard error of its log mean weight, nats, ess, pareto_k.

    The error is that of the mean weight relative to it, by the delta method; NaN for one sample.
    """
    ess = columns["ess"]
    variance = (1 / ess - 1 / num_samples).clamp(min=0) * num_samples / max(1, num_samples - 1)
    stderr = variance.sqrt() if num_samples > 1 else torch.full_like(ess, torch.nan)
    found = {"stderr": stderr, "ess": ess}
    return found | {"pareto_k": columns["pareto_k"]} if "pareto_k" in columns else found


def has_small_ess(diagnostics: dict[str, float | None], num: float) -> bool:
    """Returns whether the median example has an effective sample size below `num`."""
    median = diagnostics["ess_median"]
    return median is not None and median < num


def describe_heavy_tails(diagnostics: dict[str, float | None], advice: str) -> str | None:
    """Warns where the weights of many examples have too heavy a tail; `advice` says what to do."""
    share = diagnostics.get("pareto_k_high")
    if share is None or share <= MAX_HEAVY_SHARE:
        return None
    return (
        f"the weights of {100 * share:.0f}% of the examples have heavy tails (Pareto k above {UNRELIABLE_K}): the "
        f"estimate converges slowly, and its error may be larger than stated: {advice}"
    )
