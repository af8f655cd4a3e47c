"""Base of distributions: torch's interface without the cost of its argument checks."""

from collections.abc import Callable

import torch
from torch import Tensor

SampleShape = torch.Size | list[int] | tuple[int, ...]


def full_precision(x: Tensor) -> torch.autocast:
    """Disables autocast, so that densities keep the precision of their arguments."""
    return torch.autocast(x.device.type, enabled=False)


MEAN_DRAWS = 256
"""Number of samples that estimate the mean of a density without one in closed form."""


class Distribution(torch.distributions.Distribution):
    """Density over events of shape `event_shape`, one for each element of `batch_shape`.

    Densities are normalised, in nats, and summed over the event. Torch's interface lacks some of the methods.
    `rsample_and_log_prob` serves densities that are cheaper, or only known, at their own samples. `pairwise_log_prob`
    serves mixtures, and `detach` serves gradient estimators without the score.
    """

    arg_constraints: dict = {}

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size):
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean, (*batch, *event), estimated from `MEAN_DRAWS` samples where it has no closed form."""
        return self.sample((MEAN_DRAWS,)).mean(0)

    def independent_mean_estimates(self) -> tuple[Tensor, Tensor]:
        """Returns two means; means estimated from samples use two sets, so that their errors are independent."""
        if type(self).mean is not Distribution.mean:
            return self.mean, self.mean
        half = MEAN_DRAWS // 2
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

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Computes the log density of every event under every batch element: (..., *event) -> (..., *batch)."""
        event_dims = len(self.event_shape)
        ones = (1,) * len(self.batch_shape)
        return self.log_prob(z.reshape(z.shape[: z.dim() - event_dims] + ones + self.event_shape))

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        """Flags of dimensions whose tails fall no faster than exponentially; Gaussian tails by default."""
        return (False,) * self.event_shape[0]

    proposal_settings: dict[str, str] = {}
    """Settings that describe `proposal`, where it is another density."""

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
