"""Likelihoods in closed form: the only error is the choice of the examples."""

import math

import torch

from dgm_run.data.dataset import Examples, to_float
from dgm_run.estimators.base import Estimate
from dgm_run.estimators.exact_likelihood import ExactLikelihood
from dgm_run.models.base import ExactModel
from tests.coverage import Case, Truth

DIM = 5


class StandardNormal(ExactModel):
    """N(0, I) over DIM dimensions."""

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        return -0.5 * (x.square().sum(-1) + DIM * math.log(2 * math.pi))


def repeat_exact() -> tuple[Estimate, Truth]:
    data = Examples(torch.randn(40, DIM), None, to_float)
    found = ExactLikelihood(100)(StandardNormal(), data)[0]
    return found, Truth(-0.5 * DIM * (1 + math.log(2 * math.pi)))


CASES = [Case("normal, 40 examples", "exact", repeat_exact)]
