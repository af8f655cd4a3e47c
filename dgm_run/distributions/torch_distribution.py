"""Distributions of torch, and of libraries that build on it, as densities of this package."""

from torch import Size, Tensor
from torch import distributions as torch_distributions

from dgm_run.distributions.base import Distribution, SampleShape

HEAVY_TAILED = (
    torch_distributions.Cauchy,
    torch_distributions.Exponential,
    torch_distributions.Gamma,
    torch_distributions.Gumbel,
    torch_distributions.HalfCauchy,
    torch_distributions.Laplace,
    torch_distributions.LogNormal,
    torch_distributions.Pareto,
    torch_distributions.StudentT,
)
"""Distributions with a tail that falls no faster than exponentially."""


def wrap_distribution(base: torch_distributions.Distribution, batch_shape: Size) -> Distribution:
    """Returns a torch distribution as a density of this package; such a density is returned unchanged.

    Args:
        base: its batch shape is `batch_shape`, or has one axis of as many elements.
        batch_shape: batch shape of the density.
    """
    if isinstance(base, Distribution) and base.batch_shape == batch_shape:
        return base
    elements = base.base_dist if isinstance(base, torch_distributions.Independent) else None
    if elements is not None and not elements.event_shape:
        return IndependentTorchDistribution(base, elements, batch_shape)
    return TorchDistribution(base, batch_shape)


class TorchDistribution(Distribution):
    """A torch distribution whose only batch axis may stand for several axes of `batch_shape`.

    Networks often take one batch axis alone: (S * B, L) in place of (S, B, L).

    Args:
        base: its batch shape is `batch_shape`, or has one axis of as many elements.
        batch_shape: batch shape of this density.
    """

    def __init__(self, base: torch_distributions.Distribution, batch_shape: Size):
        super().__init__(batch_shape, base.event_shape)
        self.base = base

    @property
    def mean(self) -> Tensor:
        mean = self._compute_mean()
        return super().mean if mean is None else mean

    @property
    def has_exact_mean(self) -> bool:
        return self._compute_mean() is not None

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        family = self.base.base_dist if isinstance(self.base, torch_distributions.Independent) else self.base
        return (isinstance(family, HEAVY_TAILED),) * self.event_shape[0]

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.base.sample(Size(sample_shape)).view(self.noise_shape(sample_shape))

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.base.rsample(Size(sample_shape)).view(self.noise_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self._apply(self.base, value, len(self.event_shape))

    def _apply(self, density: torch_distributions.Distribution, value: Tensor, event_dims: int) -> Tensor:
        """Evaluates a density whose batch is flat, at values that broadcast with `batch_shape`."""
        if self.base.batch_shape == self.batch_shape:
            return density.log_prob(value)
        sample_shape = value.shape[: max(0, value.dim() - event_dims - len(self.batch_shape))]
        expanded = value.expand(sample_shape + self.batch_shape + self.event_shape)
        flat = expanded.reshape(sample_shape + self.base.batch_shape + self.event_shape)
        log_p = density.log_prob(flat)  # (*sample, N) or (*sample, N, *event)
        return log_p.unflatten(len(sample_shape), self.batch_shape)

    def _compute_mean(self) -> Tensor | None:
        """Computes the mean; None where it has no closed form."""
        try:
            return self.base.mean.view(self.noise_shape(()))
        except (NotImplementedError, AttributeError):  # the second where a density declares none at all
            return None


class IndependentTorchDistribution(TorchDistribution):
    """A torch distribution of independent elements.

    Args:
        base: as in `TorchDistribution`.
        elements: the densities of its elements, with the event axes in the batch shape.
        batch_shape: batch shape of this density.
    """

    def __init__(
        self,
        base: torch_distributions.Distribution,
        elements: torch_distributions.Distribution,
        batch_shape: Size,
    ):
        super().__init__(base, batch_shape)
        self.elements = elements

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        return self._apply(self.elements, value, len(self.event_shape))
