"""Small models of which every conditional is known: by quadrature, by enumeration, or as a dense Gaussian."""

import math

import numpy as np
import torch

from dgm_run.decoders.mlp import MLPDecoder
from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.models.latent.vae import VAE
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from dgm_run.posteriors.gaussian import GaussianPosterior
from dgm_run.priors.standard import StandardPrior

SHAPE = (1, 1, 4)
OBSERVED = torch.tensor([[[[1.0, torch.nan, 0.0, torch.nan]]]])
GRID = np.linspace(-8, 8, 4001)


def binary_vae() -> VAE:
    """A linear decoder of one latent dimension, and a posterior that is rough, but no more than that."""
    torch.manual_seed(0)
    model = VAE(
        1,
        StandardPrior(1),
        GaussianPosterior(MLPEncoder(SHAPE, [], "gated"), 1, (-6.0, 2.0)),
        MLPDecoder(1, [], "gated", BernoulliLikelihood(SHAPE)),
    )
    with torch.no_grad():
        model.decoder.output.weight.copy_(torch.tensor([[2.0], [-1.5], [-1.0], [2.5]]))
        model.decoder.output.bias.copy_(torch.tensor([0.3, 0.2, -0.4, 0.0]))
        model.posterior.head.weight.mul_(0.3)
        model.posterior.head.bias.zero_()
    return model.eval()


def integrate_over_z(model: VAE, given: dict[int, float]) -> tuple[float, np.ndarray]:
    """Probability of the given pixels, and the means of all four pixels given these, by quadrature over z."""
    weight = model.decoder.output.weight.detach().numpy()[:, 0]
    p = 1 / (1 + np.exp(-(np.outer(GRID, weight) + model.decoder.output.bias.detach().numpy())))  # (G, 4)
    joint = np.exp(-0.5 * GRID**2) / math.sqrt(2 * math.pi) * (GRID[1] - GRID[0])
    for pixel, value in given.items():
        joint = joint * np.where(value == 1, p[:, pixel], 1 - p[:, pixel])
    return joint.sum(), joint @ p / joint.sum()


def factor_analysis(dim: int = 6) -> FactorAnalysis:
    torch.manual_seed(1)
    model = FactorAnalysis((1, 1, dim), 2, 0.01, 0.0).double()
    with torch.no_grad():
        model.bias.normal_()
        model.raw_log_var.normal_()
    return model.eval()


def compute_conditional(
    model: FactorAnalysis, x_tilde: np.ndarray, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of x given x~, and log p(x~), by dense matrices; x~ = x + noise, NaN where missing."""
    p = model.density
    mean, weight = p.bias.detach().numpy(), p.weight.detach().numpy()
    covariance = weight @ weight.T + np.diag(p.log_var.exp().detach().numpy())
    known = ~np.isnan(x_tilde)
    inner = covariance[np.ix_(known, known)] + noise**2 * np.eye(known.sum())
    gain = covariance[:, known] @ np.linalg.inv(inner)
    away = x_tilde[known] - mean[known]
    log_p = -0.5 * (away @ np.linalg.solve(inner, away) + np.linalg.slogdet(2 * math.pi * inner)[1])
    return mean + gain @ away, covariance - gain @ covariance[known], log_p
