"""Reference prior, learned by maximising mutual information.

Sources: J. Bernardo, Reference posterior distributions for Bayesian inference, 1979; E. Nalisnick, P. Smyth, Learning
approximately objective priors, 2017, https://arxiv.org/abs/1704.01168; the bound: A. van den Oord et al.,
Representation learning with contrastive predictive coding, 2018, https://arxiv.org/abs/1807.03748.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.mixture import Mixture
from dgm_run.networks.bounded import BoundedParameter
from dgm_run.posteriors.base import Posterior
from dgm_run.priors.base import AuxiliaryLossPrior


class ObjectivePrior(AuxiliaryLossPrior):
    """p(z) that maximises the mutual information of z and x under p(x | z), so that data dominate the posterior.

    It is a uniform mixture of K Gaussians within a box. Without the box the means would spread to infinity, because the
    information grows with them. Only an auxiliary loss trains the prior, and that loss gives the decoder no gradient.

    The loss is minus a lower bound of the information: E log p(x_k | z_k) - log 1/K sum_j p(x_k | z_j). Each component
    gives one z_k. The bound never exceeds log K.

    Args:
        latent_dim: L.
        num_components: K.
        bound: largest absolute value of the means, in every dimension.
        log_var_range: interval of the components' log-variances.

    Raises:
        ValueError: there are fewer than two components, or the box is empty.
    """

    def __init__(self, latent_dim: int, num_components: int, bound: float, log_var_range: Sequence[float]):
        super().__init__()
        if num_components < 2 or not bound > 0:
            raise ValueError(f"num_components = {num_components} must be 2 or more, and bound = {bound} positive")
        self.mean = BoundedParameter(torch.randn(num_components, latent_dim), (-bound, bound), "bound")
        middle = torch.full((num_components, latent_dim), sum(log_var_range) / len(log_var_range))
        self.log_var = BoundedParameter(middle, log_var_range)

    def _build_components(self) -> DiagonalGaussian:
        """Builds the K Gaussians, batch shape (K,)."""
        return DiagonalGaussian(self.mean(), self.log_var())

    def forward(self, posterior: Posterior | None) -> Mixture:
        components = self._build_components().map(Tensor.detach)
        log_weights = torch.zeros_like(components.loc[:, 0]).log_softmax(0)  # (K,)
        return Mixture(components, log_weights)

    def auxiliary_loss(self, decode: Callable[[Tensor], Distribution]) -> Tensor:
        """Computes minus the bound of the information, nats.

        Samples x carry no gradient. A surrogate with the value zero adds the score-function gradient. Its baseline is
        the mean gain of the other components.
        """
        z = self._build_components().rsample()  # (K, L)
        p_x = decode(z.unsqueeze(1))  # batch shape (K, 1)
        x = p_x.sample().squeeze(1)
        log_p = p_x.log_prob(x)  # (K, K): row j holds log p(x_k | z_j)
        log_p_own = log_p.diagonal()  # (K,), log p(x_k | z_k)
        gain = log_p_own - (log_p.logsumexp(0) - math.log(len(log_p)))
        mean_other_gain = (gain.sum() - gain) / (len(gain) - 1)
        surrogate = (gain - mean_other_gain).detach() * log_p_own
        return -(gain + surrogate - surrogate.detach()).mean()
