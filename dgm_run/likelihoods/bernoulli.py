"""Likelihood of binary pixels."""

from torch import Tensor

from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.likelihoods.base import Likelihood


class BernoulliLikelihood(Likelihood):
    """Independent Bernoulli pixels, parametrised by logits. It serves binary data only: it is no density of greys."""

    takes = ("binary",)

    def forward(self, params: Tensor) -> Bernoulli:
        return Bernoulli(params.squeeze(-len(self.shape) - 1), len(self.shape))
