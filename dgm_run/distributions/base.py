"""Base of distributions: torch's interface without the cost of its argument checks."""

from collections.abc import Callable

import torch
from torch import Tensor

SampleShape = torch.Size | list[int] | tuple[int, ...]

NUM_MEAN_SAMPLES = 256
"""Number of samples that estimate the mean of a density without one in closed form."""


def full_precision(x: Tensor) -> torch.autocast:
    """Disables autocast, so that densities keep the precision of their arguments."""
    return torch.autocast(x.device.type, enabled=False)


class Distribution(torch.distributions.Distribution):
    """Density over events of shape `event_shape`, one for each element of `batch_shape`.

    Densities are normalised, in nats, and summed over the event. Three methods extend torch's interface.
    `rsample_and_log_prob` serves densities that are cheaper, or only known, at their own samples. `pairwise_log_prob`
    serves mixtures. `detach` serves gradient estimators that drop the score of the density.
    """

    arg_constraints: dict = {}

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size):
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean, (*batch, *event), estimated from `NUM_MEAN_SAMPLES` samples where it has no closed form."""
        return self.sample((NUM_MEAN_SAMPLES,)).mean(0)

    @property
    def has_exact_mean(self) -> bool:
        """Whether the mean has a closed form, and needs no samples."""
        return type(self).mean is not Distribution.mean

    def independent_mean_estimates(self) -> tuple[Tensor, Tensor]:
        """Returns the mean twice, (*batch, *event) each; two estimates from samples have independent errors."""
        if self.has_exact_mean:
            return self.mean, self.mean
        half = NUM_MEAN_SAMPLES // 2
        return self.sample((half,)).mean(0), self.sample((half,)).mean(0)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        """Draws reparameterised samples and their log density: (*sample, *batch, *event), (*sample, *batch)."""
        z = self.rsample(sample_shape)
        return z, self.log_prob(z)

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        """Computes the log density of each element, (*batch, *event), for independent elements."""
        raise NotImplementedError(f"the elements of {type(self).__name__} are not independent")

    def sum_over_event(self, values: Tensor) -> Tensor:
        """Sums values of single elements over each event: (*batch, *event) -> (*batch,)."""
        return values.flatten(values.dim() - len(self.event_shape)).sum(-1)

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes the log density of every event under every batch element: (..., *event) -> (..., *batch)."""
        event_dims = len(self.event_shape)
        ones = (1,) * len(self.batch_shape)
        return self.log_prob(z.reshape(z.shape[: z.dim() - event_dims] + ones + self.event_shape))

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        """Flags, one a dimension, of tails that fall no faster than exponentially; Gaussian tails by default."""
        return (False,) * self.event_shape[0]

    proposal_settings: dict[str, str] = {}
    """Settings of `proposal`, where it is another density; results state them."""

    def proposal(self) -> "Distribution":
        """Returns the proposal of importance sampling: itself, or a substitute if it has no density."""
        return self

    def map(self, function: Callable[[Tensor], Tensor]) -> "Distribution":
        """Returns the same family with `function` applied to every parameter."""
        raise NotImplementedError(f"{type(self).__name__} does not expose its parameters")

    def detach(self) -> "Distribution":
        """Returns the same density with parameters that receive no gradient."""
        return self.map(Tensor.detach)

    def select(self, index: Tensor) -> "Distribution":
        """Selects the densities at these positions of the batch."""
        return self.map(lambda parameter: parameter[index])

    def noise_shape(self, sample_shape: SampleShape) -> torch.Size:
        """Computes the shape of one set of samples: (*sample, *batch, *event)."""
        return torch.Size(sample_shape) + self.batch_shape + self.event_shape
