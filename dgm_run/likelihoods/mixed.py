"""Likelihood of a table: each column has the distribution of its kind."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dgm_run.data.columns import read_columns, select_positions
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.mixed import Codes, Mixed
from dgm_run.distributions.negative_binomial import NegativeBinomial
from dgm_run.distributions.poisson import Poisson
from dgm_run.distributions.student_t import StudentT
from dgm_run.likelihoods.base import Likelihood
from dgm_run.likelihoods.gaussian import AT_FLOOR
from dgm_run.networks.bounded import add_floor, check_floor, column_variance, describe_floor, noise_floor

START_SCALE = 0.5
"""Initial scale of real columns, which have a standard deviation of one."""
START_DEGREES = 10.0
"""Initial degrees of freedom of Student's t: nearly Gaussian."""
SIZE_RANGE = (0.1, 100.0)
"""Range of the initial r of negative binomials; their variance is m + m^2 / r."""
MIN_MEAN = 0.1
"""Smallest mean count that the decoder starts from."""


class MixedLikelihood(Likelihood):
    """Product over the columns of a table, given z.

    The decoder gives the location of real columns, the log-mean of counts relative to their training mean, the logit of
    binary columns, and the logits of categories. Scales, degrees of freedom and the r of negative binomials are
    parameters, one a column. Scales have an additive floor, as those of `GaussianLikelihood`.

    Args:
        columns: plain values of the columns.
        real: distribution of real columns: gaussian | student_t.
        count: distribution of counts: poisson | negative_binomial.
        min_scale: absolute part of the floor, in standard deviations of the column.
        relative_min_scale: relative part of the floor.

    Raises:
        ValueError: a part of the floor is out of range.
    """

    takes = ("mixed", "binary", "continuous")
    is_stationary = False
    log_floor: Tensor
    log_start_mean: Tensor
    order: Tensor

    def __init__(
        self,
        columns: Sequence[Mapping[str, Any]],
        real: Literal["gaussian", "student_t"],
        count: Literal["poisson", "negative_binomial"],
        min_scale: float,
        relative_min_scale: float,
    ):
        super().__init__([len(columns)])
        check_floor(min_scale, relative_min_scale)
        if not 0 < min_scale + relative_min_scale < START_SCALE:
            raise ValueError(f"min_scale + relative_min_scale must lie between 0 and {START_SCALE}")
        self.min_scale = min_scale
        self.relative_min_scale = relative_min_scale
        self.real = real
        self.count = count
        table = read_columns(columns)
        self.reals = select_positions(table, "real")
        self.counts = select_positions(table, "count")
        self.binaries = select_positions(table, "binary")
        self.categories: dict[int, list[int]] = {}  # positions by the number of codes
        for position in select_positions(table, "categorical"):
            self.categories.setdefault(table[position].num_codes, []).append(position)
        order = [*self.reals, *self.counts, *self.binaries, *chain.from_iterable(self.categories.values())]
        self.register_buffer("order", torch.tensor(order, dtype=torch.long), persistent=False)
        self.register_buffer("log_floor", torch.full((len(self.reals),), math.log(min_scale + relative_min_scale)))
        self.register_buffer("log_start_mean", torch.zeros(len(self.counts)))
        if self.reals:
            excess = START_SCALE - min_scale - relative_min_scale
            self.log_scale = nn.Parameter(torch.full((len(self.reals),), math.log(excess)))
            if real == "student_t":
                self.log_excess_degrees = nn.Parameter(torch.full((len(self.reals),), math.log(START_DEGREES - 1)))
        if self.counts and count == "negative_binomial":
            self.log_size = nn.Parameter(torch.zeros(len(self.counts)))

    @property
    def params_shape(self) -> tuple[int, ...]:
        num_logits = sum(num_codes * len(positions) for num_codes, positions in self.categories.items())
        return (len(self.reals) + len(self.counts) + len(self.binaries) + num_logits,)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Sets the floors, and the counts' means and variances at the start, from training examples, (B, D)."""
        if self.reals:
            floor = noise_floor(column_variance(x[:, self.reals]), self.min_scale, self.relative_min_scale)
            self.log_floor.copy_(floor.log())
        if self.counts:
            counts = x[:, self.counts].double()
            mean = counts.mean(0).clamp(min=MIN_MEAN)
            self.log_start_mean.copy_(mean.log())
            if self.count == "negative_binomial":
                excess = (counts.var(0, correction=0) - mean).clamp(min=1e-9)
                self.log_size.copy_((mean.square() / excess).clamp(*SIZE_RANGE).log())

    @property
    def likelihood_warning(self) -> str | None:
        """Warning about scales at their floor; None where there are none."""
        if not self.reals:
            return None
        num_at_floor = int((self.log_scale.detach() - self.log_floor < math.log(AT_FLOOR)).sum())
        return describe_floor(num_at_floor, len(self.reals), self.min_scale, self.relative_min_scale)

    def forward(self, params: Tensor) -> Mixed:
        sizes = [len(self.reals), len(self.counts), len(self.binaries)]
        sizes += [num_codes * len(positions) for num_codes, positions in self.categories.items()]
        location, log_mean, logits, *more = params.split(sizes, -1)
        groups: list[Distribution] = []
        if self.reals:
            groups.append(self._make_reals(location))
        if self.counts:
            log_mean = self.log_start_mean + log_mean
            is_poisson = self.count == "poisson"
            groups.append(Poisson(log_mean) if is_poisson else NegativeBinomial(log_mean, self.log_size))
        if self.binaries:
            groups.append(Bernoulli(logits, 1))
        for num_codes, each in zip(self.categories, more, strict=True):
            groups.append(Codes(each.unflatten(-1, (num_codes, -1))))
        return Mixed(groups, self.order)

    def _make_reals(self, location: Tensor) -> Distribution:
        log_scale = add_floor(self.log_scale, self.log_floor)
        if self.real == "gaussian":
            return IndependentGaussian(location, log_scale, 1)
        return StudentT(location, log_scale, 1 + self.log_excess_degrees.exp())
