"""Averages of draws of latent variables, on models whose log p(x) is in closed form or a quadrature away.

Each repetition has fresh examples and fresh draws; the model and its proposal are the same in all.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.estimators.base import Estimate, Estimator
from dgm_run.estimators.likelihood.ais_decoder import AISDecoder
from dgm_run.estimators.likelihood.importance_sampling import ImportanceSampling
from dgm_run.estimators.likelihood.prior_sampling import PriorSampling
from dgm_run.models.base import ContinuousLatentModel
from tests.coverage import Case, Truth

NUM_EXAMPLES = 100
LOG_2PI = math.log(2 * math.pi)


class LinearGaussian(ContinuousLatentModel):
    """x = W z + noise, with q(z | x) around the mean of the posterior: diagonal, shifted, and too wide or too narrow.

    Args:
        width: standard deviations of q over those of the posterior.
        shift: of the mean of q, in standard deviations of the posterior.
        noise: standard deviation of x given z.
    """

    def __init__(self, width: float = 1.0, shift: float = 0.0, noise: float = 0.6):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.noise = noise
        self.weight = torch.randn(6, 2, generator=generator, dtype=torch.float64)  # (D, L)
        self.covariance = torch.linalg.inv(torch.eye(2).double() + self.weight.T @ self.weight / self.noise**2)
        self.deviation = self.covariance.diagonal().sqrt()
        self.gain = self.covariance @ self.weight.T / self.noise**2
        self.width, self.shift = width, shift

    def infer(self, x: Tensor) -> DiagonalGaussian:
        mean = x @ self.gain.T + self.shift * self.deviation
        return DiagonalGaussian(mean, 2 * (self.width * self.deviation).log().expand_as(mean))

    def latent_prior(self) -> StandardGaussian:
        return StandardGaussian(2, self.weight)

    def decode(self, z: Tensor) -> Distribution:
        return IndependentGaussian(z @ self.weight.T, torch.tensor(self.noise).double().log(), 1)

    @property
    def marginal(self) -> torch.distributions.MultivariateNormal:
        covariance = self.weight @ self.weight.T + self.noise**2 * torch.eye(6).double()
        return torch.distributions.MultivariateNormal(torch.zeros(6).double(), covariance)

    def true_log_p(self, x: Tensor) -> Tensor:
        return self.marginal.log_prob(x)

    @property
    def true_mean(self) -> float:
        return -self.marginal.entropy().item()

    @property
    def true_gap(self) -> float:
        """KL(q || posterior), nats, of every x."""
        precision = torch.linalg.inv(self.covariance)
        shift = self.shift * self.deviation
        variance = (self.width * self.deviation).square()
        trace = (precision.diagonal() * variance).sum() + shift @ precision @ shift
        return 0.5 * (trace - 2 + self.covariance.logdet() - variance.log().sum()).item()


class BernoulliRidge(ContinuousLatentModel):
    """Six binary x behind one latent dimension, z -> a z + b; every p(x) is a quadrature over z.

    q(z | x) has a mean that is linear in x and one variance: the posterior is skewed and narrower or wider by x.
    """

    def __init__(self):
        super().__init__()
        self.slope = torch.tensor([2.5, -2.0, 1.5, 3.0, -1.0, 2.0]).double()
        self.bias = torch.tensor([0.5, 0.0, -1.0, 1.0, -0.5, 0.0]).double()
        self.patterns = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).double()
        z = torch.arange(-10, 10, 0.01).double()
        log_px = self.decode(z.unsqueeze(-1)).pairwise_log_prob(self.patterns)  # (64, Z)
        self.log_p = (log_px - 0.5 * (z.square() + LOG_2PI)).logsumexp(1) + math.log(0.01)

    def infer(self, x: Tensor) -> DiagonalGaussian:
        mean = 0.25 * ((2 * x - 1) @ self.slope.sign()).unsqueeze(-1)
        return DiagonalGaussian(mean, torch.full_like(mean, 2 * math.log(0.55)))

    def latent_prior(self) -> StandardGaussian:
        return StandardGaussian(1, self.slope)

    def decode(self, z: Tensor) -> Bernoulli:
        return Bernoulli(z * self.slope + self.bias, 1)

    def true_log_p(self, x: Tensor) -> Tensor:
        return self.log_p[(x.long() * 2 ** torch.arange(5, -1, -1)).sum(-1)]

    @property
    def true_mean(self) -> float:
        return (self.log_p.exp() * self.log_p).sum().item()


def repeat(
    model: LinearGaussian | BernoulliRidge,
    estimator: Estimator,
    quantity: str = "log_likelihood",
    knows_examples: bool = True,
    num_examples: int = NUM_EXAMPLES,
) -> Callable[[], tuple[Estimate, Truth]]:
    """Returns a function that evaluates this row once, on examples drawn from the model.

    A row over a random part of the examples has no known value for them.
    """

    def evaluate() -> tuple[Estimate, Truth]:
        x = model.sample(num_examples)
        found = {each.quantity: each for each in estimator(model, DataSplit(x, None, lambda values: values))}[quantity]
        population, examples = model.true_mean, model.true_log_p(x).mean().item()
        if quantity == "elbo":
            population, examples = population - model.true_gap, examples - model.true_gap
        if quantity == "bits_per_dim":
            scale = -1 / (x.shape[1] * math.log(2))
            population, examples = scale * population, scale * examples
        return found, Truth(population, examples if knows_examples else None)

    return evaluate


def sampling(num_samples: int, proposal: str = "posterior") -> ImportanceSampling:
    return ImportanceSampling(num_samples, 100_000, proposal, 0.1)


def annealing(**settings) -> AISDecoder:
    base = {"num_examples": None, "num_chains": 8, "num_temperatures": 20, "num_leapfrog": 2, "max_batch_rows": 5000}
    base |= {"target_acceptance": 0.65, "schedule": "sigmoid", "start": "prior", "num_simulated": 0, "scale": "model"}
    return AISDecoder(**(base | settings))


WIDE, NARROW, FAR = LinearGaussian(1.4, 0.3), LinearGaussian(0.8, 0.2), LinearGaussian(0.55, 0.8)
NOISY = LinearGaussian(noise=1.5)
RIDGE = BernoulliRidge()
CASES = [
    *(
        Case(name, f"importance_sampling, S = {num}", repeat(model, sampling(num)))
        for name, model in (
            ("linear Gaussian, wide q", WIDE),
            ("linear Gaussian, narrow q", NARROW),
            ("Bernoulli, one latent", RIDGE),
        )
        for num in (10, 50, 500)
    ),
    Case("linear Gaussian, far q", "importance_sampling, S = 500, defensive", repeat(FAR, sampling(500, "defensive"))),
    Case("linear Gaussian, narrow q", "bits by 50 samples", repeat(NARROW, sampling(50), "bits_per_dim")),
    Case("linear Gaussian, narrow q", "elbo, S = 20", repeat(NARROW, sampling(20), "elbo")),
    Case("Bernoulli, one latent", "prior_sampling, S = 200", repeat(RIDGE, PriorSampling(200, 1000))),
    Case("Bernoulli, one latent", "prior_sampling, S = 2,000", repeat(RIDGE, PriorSampling(2000, 2000))),
    Case("linear Gaussian", "prior_sampling, S = 2,000", repeat(WIDE, PriorSampling(2000, 2000))),
    Case("linear Gaussian", "ais_decoder, 8 chains", repeat(NOISY, annealing(), num_examples=30)),
    Case(
        "Bernoulli, one latent",
        "ais_decoder, 4 chains",
        repeat(RIDGE, annealing(num_chains=4, num_temperatures=30), num_examples=30),
    ),
    Case(
        "Bernoulli, one latent",
        "ais_decoder, 8 chains, 30 of 60 examples",
        repeat(RIDGE, annealing(num_examples=30), knows_examples=False, num_examples=60),
    ),
]
