"""The base of our distributions: torch's interface, without the cost of its argument checks."""

from collections.abc import Callable

import torch
from torch import Tensor

SampleShape = torch.Size | list[int] | tuple[int, ...]


def full_precision(x: Tensor) -> torch.autocast:
    """Densities stay in the precision of their arguments where networks run in half precision."""
    return torch.autocast(x.device.type, enabled=False)


MEAN_DRAWS = 256
"""By which the mean of a density is estimated that has none in closed form."""


class Distribution(torch.distributions.Distribution):
    """A density over events of shape `event_shape`, one for each element of `batch_shape`.

    Densities are normalised, in nats, and summed over the event. Beyond torch's interface there are
    `rsample_and_log_prob` for densities that are cheaper, or only known, at their own samples,
    `pairwise_log_prob` for mixtures, `detach` for gradient estimators that drop the score, and `select`.
    """

    arg_constraints: dict = {}

    def __init__(self, batch_shape: torch.Size, event_shape: torch.Size):
        super().__init__(batch_shape, event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """(*batch, *event), of `MEAN_DRAWS` samples where a density does not know better."""
        return self.sample((MEAN_DRAWS,)).mean(0)

    def independent_mean_estimates(self) -> tuple[Tensor, Tensor]:
        """The mean twice; where it is one of samples, of two sets of them, whose errors are independent."""
        if type(self).mean is not Distribution.mean:
            return self.mean, self.mean
        half = MEAN_DRAWS // 2
        return self.sample((half,)).mean(0), self.sample((half,)).mean(0)

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        """Reparameterised samples and their log density: (*sample, *batch, *event), (*sample, *batch)."""
        z = self.rsample(sample_shape)
        return z, self.log_prob(z)

    def elementwise_log_prob(self, value: Tensor) -> Tensor:
        """Log density of every element by itself, (*batch, *event), where they are independent."""
        raise NotImplementedError(f"the elements of {type(self).__name__} are not independent")

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """Log density of every event under every element of the batch: (..., *event) -> (..., *batch)."""
        event_dims = len(self.event_shape)
        ones = (1,) * len(self.batch_shape)
        return self.log_prob(z.reshape(z.shape[: z.dim() - event_dims] + ones + self.event_shape))

    @property
    def exponential_tails(self) -> tuple[bool, ...]:
        """Whether the tails along each dimension of a vector fall no faster than an exponential; here as a Gaussian."""
        return (False,) * self.event_shape[0]

    proposal_settings: dict[str, str] = {}
    """How `proposal` came about, where it is another density."""

    def proposal(self) -> "Distribution":
        """What importance samples are drawn from: itself, or what stands for it where it has no density."""
        return self

    def map(self, function: Callable[[Tensor], Tensor]) -> "Distribution":
        """The same family with `function` applied to every parameter."""
        raise NotImplementedError(f"{type(self).__name__} does not expose its parameters")

    def detach(self) -> "Distribution":
        """The same density with parameters that receive no gradient."""
        return self.map(Tensor.detach)

    def select(self, index: Tensor) -> "Distribution":
        """The densities at these positions of the batch."""
        return self.map(lambda parameter: parameter[index])

    def noise_shape(self, sample_shape: SampleShape) -> torch.Size:
        """Shape of one set of samples: (*sample, *batch, *event)."""
        return torch.Size(sample_shape) + self.batch_shape + self.event_shape
