"""A prior of your own: independent Student t variables, with heavier tails than the Gaussian.

dgm-run --config-dir conf prior=student_t prior.degrees_of_freedom=5
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import StudentT

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import StandalonePrior


class IndependentStudentT(Distribution):
    """Independent Student t variables over the last dimension.

    Args:
        degrees_of_freedom: above 1, so that there is a mean.
        scale: (L,).
    """

    has_rsample = True

    def __init__(self, degrees_of_freedom: float, scale: Tensor):
        super().__init__(torch.Size(), scale.shape)
        self.degrees_of_freedom = degrees_of_freedom
        self.scale = scale
        self.each = StudentT(degrees_of_freedom, scale=scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.scale)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.each.rsample(torch.Size(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.each.log_prob(value).sum(-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> "IndependentStudentT":
        return IndependentStudentT(self.degrees_of_freedom, function(self.scale))


class StudentTPrior(StandalonePrior):
    """p(z) = prod_l t(z_l / s_l) / s_l, with learned scales s_l.

    Args:
        latent_dim: L.
        degrees_of_freedom: of every variable.

    Raises:
        ValueError: the degrees of freedom are too few for a mean.
    """

    def __init__(self, latent_dim: int, degrees_of_freedom: float):
        super().__init__()
        if degrees_of_freedom <= 1:
            raise ValueError(f"degrees_of_freedom = {degrees_of_freedom} must exceed 1")
        self.degrees_of_freedom = degrees_of_freedom
        self.log_scale = torch.nn.Parameter(torch.zeros(latent_dim))

    def forward(self, posterior: Posterior | None) -> IndependentStudentT:
        return IndependentStudentT(self.degrees_of_freedom, self.log_scale.exp())
