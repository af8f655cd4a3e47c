"""Variational mixture of posteriors (VampPrior).

Source: J. M. Tomczak, M. Welling, VAE with a VampPrior, AISTATS 2018, https://arxiv.org/abs/1705.07120.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.mixture import Mixture
from dgm_run.networks.bounded import check_interval
from dgm_run.posteriors.base import EvaluablePosterior, Posterior
from dgm_run.priors.base import Prior


class MixtureOfPosteriors(Prior):
    """p(z) = 1/K sum_k q(z | u_k) at pseudo-inputs u_k, (K, *shape), which subclasses provide."""

    requires = {"posterior": EvaluablePosterior}

    if TYPE_CHECKING:  # a property of one subclass, a buffer of the other

        @property
        def pseudo_inputs(self) -> Tensor: ...

    def forward(self, posterior: Posterior | None) -> Mixture:
        assert posterior is not None
        return _build_mixture(posterior(self.pseudo_inputs), self.pseudo_inputs)

    def infer_with_prior(self, posterior: Posterior, x: Tensor) -> tuple[Distribution, Mixture]:
        q = posterior(torch.cat([x, self.pseudo_inputs]))  # batch shape (B + K,)
        components = q.map(lambda parameter: parameter[len(x) :])
        return q.map(lambda parameter: parameter[: len(x)]), _build_mixture(components, x)


def _build_mixture(components: Distribution, like: Tensor) -> Mixture:
    """Builds the uniform mixture of all K components."""
    num_components = components.batch_shape[0]
    return Mixture(components, like.new_full((num_components,), -math.log(num_components)))


class VampPrior(MixtureOfPosteriors):
    """p(z) = 1/K sum_k q(z | u_k) with trainable pseudo-inputs u_k (eq. 9).

    The encoder receives gradients both as q(z | x) and as p(z).

    Args:
        shape: shape of one example.
        num_components: K.
        init_mean: mean of the initial pseudo-inputs, N(init_mean, init_scale^2).
        init_scale: standard deviation of the initial pseudo-inputs.
        value_range: interval of the data, to which pseudo-inputs are clamped; null for unbounded data.

    Raises:
        ValueError: there is no component.
    """

    takes = ("binary", "levels", "continuous")

    def __init__(
        self,
        shape: Sequence[int],
        num_components: int,
        init_mean: float,
        init_scale: float,
        value_range: Sequence[float] | None,
    ):
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components = {num_components} must be positive")
        self.raw_pseudo_inputs = nn.Parameter(init_mean + init_scale * torch.randn(num_components, *shape))
        self.value_range = None if value_range is None else check_interval(value_range, "value_range")

    @property
    def pseudo_inputs(self) -> Tensor:
        """Pseudo-inputs within the range of the data, (K, *shape)."""
        if self.value_range is None:
            return self.raw_pseudo_inputs
        # equals clamp in a sixth of its time: its gradient is one kernel instead of five
        return F.hardtanh(self.raw_pseudo_inputs, *self.value_range)
