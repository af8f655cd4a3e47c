"""Importance weights as they come chunk by chunk, and what finitely many of them leave open.

Sources: T. Rainforth et al., On nesting Monte Carlo estimators, 2018, https://arxiv.org/abs/1709.06181 (the logarithm
of a mean of S weights is biased by order 1 / S); A. Vehtari et al., Pareto smoothed importance sampling, 2024,
https://arxiv.org/abs/1507.02646.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.estimators.intervals import NO_BIAS, NO_MARGIN, Bias, ComputingErrors, Margin
from dgm_run.estimators.likelihood.pareto import UNRELIABLE, LargestWeights

JACKKNIFE_GROUPS = 32
"""Groups of samples that all examples share, which are left out in turn."""
NUM_GROUPS = 8
"""Groups of samples whose estimates are compared, a power of two. More groups extrapolate over a longer way."""
HALF = 0.5
"""Factor by which twice as many samples lower bias and variance where weights have a variance and S is large."""
RATIOS = (0.4, 0.85)
"""Range of that factor: few bounded weights fall faster, weights with heavy tails slower."""
RATIO_STDERR = 0.06
"""How far the factor at S lies off that at more samples: of VAEs of digits it rises by up to 0.1."""
MANY_HEAVY = 0.25
"""Share of examples with a heavy tail of weights from which on the estimate warns."""


class SamplingError(NamedTuple):
    """What finitely many samples add to a mean of log estimates, nats.

    Attributes:
        stderr: standard error of the mean on the same examples; None where it is not known.
        bias: None where it is not known.
        freedom: degrees of freedom of the standard error.
    """

    stderr: float | None = None
    bias: Bias | None = None
    freedom: float = math.inf

    @property
    def margin(self) -> Margin:
        """The margin of the random error alone; none where it is not known."""
        return NO_MARGIN if self.stderr is None else Margin.student(self.stderr, self.freedom)

    @property
    def of_independent_samples(self) -> ComputingErrors:
        """The errors where samples are independent for each example."""
        return ComputingErrors(draws=self.margin, bias=self.bias or NO_BIAS)

    @property
    def of_shared_samples(self) -> ComputingErrors:
        """The errors where all examples share the samples."""
        return ComputingErrors(common=self.margin, bias=self.bias or NO_BIAS)


class StreamingWeights:
    """Accumulates (S, B) log weights chunk by chunk in bounded memory, in float64.

    Sample s belongs to group s mod G, but for the last S mod G samples, so that all groups have one size. Estimates by
    single groups, and by groups taken together, show how bias and variance fall with the number of samples.

    Args:
        num_samples: S in all.
        num_examples: B.
        device: where the log weights are.
        num_groups: G at most, a power of two.

    Attributes:
        num_grouped: samples that belong to a group.
        log_sums: log of the sum of the weights of each group, (G, B), float64.
    """

    def __init__(self, num_samples: int, num_examples: int, device: torch.device, num_groups: int = NUM_GROUPS):
        self.num_samples = num_samples
        most = num_samples if num_samples < 8 else num_samples // 2  # estimates by single samples tell little
        self.num_groups = min(num_groups, 1 << (most.bit_length() - 1))
        self.num_grouped = num_samples - num_samples % self.num_groups
        shape = (self.num_groups, num_examples)
        self.log_sums = torch.full(shape, -math.inf, dtype=torch.float64, device=device)
        self.log_rest = self.log_sums[0].clone()
        self.log_sum_squares = self.log_sums[0].clone()
        self.largest = LargestWeights(num_samples, num_examples, device)

    def add(self, log_w: Tensor, first: int) -> None:
        """Takes in the log weights of samples `first`, `first` + 1, ... of each example, (S', B)."""
        self.largest.add(log_w)
        log_w = log_w.double()
        self.log_sum_squares = torch.logaddexp(self.log_sum_squares, (2 * log_w).logsumexp(0))
        num_grouped = min(max(self.num_grouped - first, 0), len(log_w))
        grouped, rest = log_w[:num_grouped], log_w[num_grouped:]
        if len(rest):
            self.log_rest = torch.logaddexp(self.log_rest, rest.logsumexp(0))
        if len(grouped):
            before = first % self.num_groups
            after = -(before + num_grouped) % self.num_groups
            padded = F.pad(grouped, (0, 0, before, after), value=-math.inf)
            rounds = padded.view(-1, *self.log_sums.shape)
            self.log_sums = torch.logaddexp(self.log_sums, rounds.logsumexp(0))

    def join(self) -> None:
        """Takes in what the other processes have accumulated of other samples."""
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
        """What `sampling_error` and `sampling_diagnostics` take, of each example: (B, ...) by name.

        The levels have 1, 2, 4, ..., G parts; of the first level there is no variance.
        """
        levels = [self.level(1 << i) for i in range(self.num_groups.bit_length())]
        found = {
            "log_p": self.log_mean,
            "ess": self.effective_sample_size,
            "level_means": torch.stack([each.mean(0) for each in levels], 1),
        }
        if len(levels) > 1:
            found["level_variances"] = torch.stack([each.var(0) for each in levels[1:]], 1)
        shapes = self.largest.shapes()
        return found if shapes is None else found | {"pareto_k": shapes}


def weigh(log_w: Tensor) -> dict[str, Tensor]:
    """Columns of `StreamingWeights` of log weights that are there at once, (S, B)."""
    num_samples, num_examples = log_w.shape
    weights = StreamingWeights(num_samples, num_examples, log_w.device)
    weights.add(log_w, 0)
    return weights.columns()


def jackknife_stderr(log_sums: Tensor) -> float | None:
    """Standard error of the mean over examples of log 1/S sum_s w_s, by samples that all examples share.

    Linearised it would be far too small where single samples carry the weight of an example.

    Args:
        log_sums: of `StreamingWeights`, the log of the sum of the weights of each group, (G, N).

    Returns:
        None of a single group, or where the weights of some example are zero but for those of one group.
    """
    num_groups = len(log_sums)
    if num_groups < 2:
        return None
    # groups of one size: what the log of their number adds is the same for all
    means = [torch.cat([log_sums[:g], log_sums[g + 1 :]]).logsumexp(0).mean() for g in range(num_groups)]
    apart = torch.stack(means) - torch.stack(means).mean()
    variance = (num_groups - 1) / num_groups * apart.square().sum().item()
    return math.sqrt(variance) if math.isfinite(variance) else None


def sampling_error(columns: dict[str, Tensor], num_samples: int) -> SamplingError:
    """Estimates the errors of the mean over the examples of log 1/S sum_s w_s.

    Both are seen at fewer samples, by comparing parts of them, and extrapolated to all samples by the ratio of
    successive levels. Averages over the examples make that precise. Mass that no sample has hit shows in neither.

    Args:
        columns: of `StreamingWeights.columns` of all examples, whose samples are independent.
        num_samples: S.
    """
    if "level_variances" not in columns:  # of a single sample
        return SamplingError()
    variances = columns["level_variances"].mean(0)
    ratio = _ratio(variances)
    variance = variances[0].item() * ratio * _shrink(ratio, len(variances), num_samples)
    num_examples = len(columns["log_p"])
    stderr = math.sqrt(variance / num_examples) if math.isfinite(variance) else None
    bias = extrapolate_bias(columns["level_means"], num_samples)
    return SamplingError(stderr, bias, freedom=max(1, num_examples - 1))


def extrapolate_bias(levels: Tensor, num_samples: int) -> Bias | None:
    """Estimates the bias of the mean of log estimates by S samples from those by S, S/2, S/4, ... samples.

    It is the sum of all that doubling S again and again would add, a geometric series. Its error is that of a finite
    number of examples, by linearisation, and that of a ratio which is not the same at every S.

    Args:
        levels: of each example, or one row of the mean over all of them, (N, levels).
        num_samples: S; the levels rest on as many of them as make groups of one size.

    Returns:
        None where some estimate is not finite.
    """
    gains = levels[:, :-1] - levels[:, 1:]  # by twice the samples
    if not gains.isfinite().all():
        return None
    ratio, gain = _ratio(gains.mean(0)), gains[:, 0].mean().clamp(min=0).item()
    slope = gain / (1 - ratio) ** 2  # of the bias in the ratio
    own = ratio / (1 - ratio) * gains[:, 0]
    below = gains[:, 1:].sum(1)
    if below.mean() > 0 and RATIOS[0] < ratio < RATIOS[1]:
        own = own + slope * (gains[:, :-1].sum(1) - ratio * below) / below.mean()
    by_examples = own.std().item() / math.sqrt(len(own)) if len(own) > 1 else 0.0
    shrink = _shrink(ratio, gains.shape[1], num_samples)
    return Bias(-gain * ratio / (1 - ratio) * shrink, math.hypot(by_examples, slope * RATIO_STDERR) * shrink)


def _ratio(values: Tensor) -> float:
    """Ratio of successive values that fall geometrically, within `RATIOS`; `HALF` where it cannot be seen."""
    above, below = values[:-1].sum().item(), values[1:].sum().item()
    if not below > 0:
        return HALF
    return min(max(above / below, RATIOS[0]), RATIOS[1])


def _shrink(ratio: float, num_doublings: int, num_samples: int) -> float:
    """Factor from what the samples of 2^`num_doublings` groups of one size leave open to what all S samples do."""
    return ratio ** -math.log2(1 - num_samples % (1 << num_doublings) / num_samples)


def sampling_diagnostics(columns: dict[str, Tensor], error: SamplingError) -> dict[str, float | None]:
    """Returns effective sample sizes, tails of the weights and the errors by the samples, over all examples."""
    low, median = columns["ess"].quantile(torch.tensor([0.05, 0.5], dtype=torch.float64)).tolist()
    found: dict[str, float | None] = {"ess_median": median, "ess_5_percent": low}
    found |= {"monte_carlo_stderr": error.stderr, "bias": error.bias.value if error.bias else None}
    if "pareto_k" in columns:
        k = columns["pareto_k"]
        found |= {"pareto_k_median": k.median().item(), "pareto_k_high": (k > UNRELIABLE).double().mean().item()}
    return found


def has_fewer(diagnostics: dict[str, float | None], num: float) -> bool:
    """Whether the median example rests on fewer than `num` samples."""
    median = diagnostics["ess_median"]
    return median is not None and median < num


def describe_heavy_tails(diagnostics: dict[str, float | None], advice: str) -> str | None:
    """Warns where the weights of many examples have too heavy a tail; `advice` says what to do."""
    share = diagnostics.get("pareto_k_high")
    if share is None or share <= MANY_HEAVY:
        return None
    return (
        f"the weights of {100 * share:.0f}% of the examples have heavy tails (Pareto k above {UNRELIABLE}): the "
        f"estimate settles slowly, and its error may be larger than stated: {advice}"
    )
