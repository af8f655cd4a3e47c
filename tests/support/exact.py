"""Models by hand whose every expectation is known: in closed form, or by quadrature over one or two dimensions.

The truths are written from the formulas and read only the weights of a model; they call none of its densities.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from dgm_run.decoders.mlp import MLPDecoder
from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.gaussian import GaussianLikelihood
from dgm_run.models.latent.vae import VAE
from dgm_run.posteriors.full_gaussian import FullGaussianPosterior
from dgm_run.posteriors.gaussian import GaussianPosterior
from dgm_run.priors.base import Prior
from dgm_run.priors.mixture import MixturePrior
from dgm_run.priors.standard import StandardPrior
from dgm_run.priors.vampprior import VampPrior

LOG_2PI = math.log(2 * math.pi)
NOISE = 0.7  # standard deviation of a pixel in factor analysis
FLOOR = 0.001  # of the diagonal of C in the full posterior


def prior_of(name: str, latent_dim: int, num_pixels: int) -> Prior:
    """A prior at random weights, with two components where it has any."""
    if name == "standard":
        return StandardPrior(latent_dim)
    if name == "vampprior":
        return VampPrior((num_pixels,), 2, init_mean=0.2, init_scale=0.6, value_range=None)
    prior = MixturePrior(latent_dim, 2, init_scale=0.7, log_var_range=(-6.0, 2.0))
    with torch.no_grad():
        prior.log_var.raw.normal_(2.2, 0.3)
        prior.logits.normal_(0, 0.5)
    return prior


# Factor analysis: x = W z + b + noise, all Gaussian.


def factor_analysis(latent_dim: int, num_pixels: int, full: bool) -> VAE:
    """A linear decoder with the exact posterior N(M^-1 W^T (x - b) / s^2, M^-1), M = I + W^T W / s^2.

    The diagonal posterior is exact because W then has orthogonal columns.
    """
    likelihood = GaussianLikelihood(
        (num_pixels,), NOISE, "shared", min_scale=0.01, relative_min_scale=0.0, squash=False
    )
    decoder = MLPDecoder(latent_dim, [], "gated", likelihood)
    encoder = MLPEncoder((num_pixels,), [], "gated")
    weight = torch.randn(num_pixels, latent_dim)
    if full:
        posterior = FullGaussianPosterior(encoder, latent_dim, FLOOR)
    else:
        posterior = GaussianPosterior(encoder, latent_dim, (-6.0, 2.0))
        weight = torch.linalg.qr(weight).Q * torch.linspace(0.8, 1.5, latent_dim)
    bias = torch.randn(num_pixels)

    covariance = torch.linalg.inv(torch.eye(latent_dim) + weight.T @ weight / NOISE**2)
    gain = covariance @ weight.T / NOISE**2  # (L, D)
    if full:
        tril = torch.linalg.cholesky(covariance)
        diagonal = torch.log(torch.expm1(tril.diagonal() - FLOOR))  # inverse of softplus
        rows, columns = torch.tril_indices(latent_dim, latent_dim)
        spread = torch.where(rows == columns, diagonal[rows], tril[rows, columns])
    else:
        spread = covariance.diagonal().log()
    with torch.no_grad():
        decoder.output.weight.copy_(weight)
        decoder.output.bias.copy_(bias)
        posterior.head.weight.copy_(torch.cat([gain, torch.zeros(len(spread), num_pixels)]))
        posterior.head.bias.copy_(torch.cat([-gain @ bias, spread]))
    return VAE(latent_dim, StandardPrior(latent_dim), posterior, decoder)


def factor_analysis_moments(model: VAE) -> tuple[Tensor, Tensor]:
    """Mean b and covariance W W^T + s^2 I of x."""
    weight, bias = model.decoder.output.weight.detach(), model.decoder.output.bias.detach()
    return bias, weight @ weight.T + NOISE**2 * torch.eye(len(bias))


def factor_analysis_log_p(model: VAE, x: Tensor) -> Tensor:
    """log N(x; b, W W^T + s^2 I), (B,)."""
    mean, covariance = factor_analysis_moments(model)
    deviation = x - mean
    squares = (deviation * torch.linalg.solve(covariance, deviation.T).T).sum(-1)
    return -0.5 * (squares + torch.logdet(covariance) + len(mean) * LOG_2PI)


# Binary pixels behind a network: log p(x) by a sum over a grid of z, in NumPy.


def bernoulli_vae(latent_dim: int, prior: str) -> VAE:
    """Three binary pixels, a tanh network of four units, a full posterior that is roughly right."""
    encoder = MLPEncoder((3,), [], "tanh")
    posterior = FullGaussianPosterior(encoder, latent_dim, FLOOR)
    decoder = MLPDecoder(latent_dim, [4], "tanh", BernoulliLikelihood((3,)))
    with torch.no_grad():
        posterior.head.weight.mul_(0.2)
        posterior.head.bias.normal_(0, 0.1)
        posterior.head.bias[latent_dim:][posterior.on_diagonal] += 1  # wide: the weights then have a variance
        decoder.output.bias.normal_()
    return VAE(latent_dim, prior_of(prior, latent_dim, 3), posterior, decoder)


def bernoulli_log_p(model: VAE, x: Tensor) -> np.ndarray:
    """log of the integral of p(x | z) p(z) dz, (B,)."""
    step = 0.02 if model.latent_dim == 1 else 0.1
    axis = np.arange(-12, 12, step)
    z = np.stack(np.meshgrid(*[axis] * model.latent_dim), -1).reshape(-1, model.latent_dim)  # (N, L)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    hidden = np.tanh(z @ weights["decoder.network.0.weight"].T + weights["decoder.network.0.bias"])
    logits = hidden @ weights["decoder.output.weight"].T + weights["decoder.output.bias"]  # (N, D)
    on = x.numpy()[:, None] > 0
    log_px = -np.logaddexp(0, np.where(on, -logits, logits)).sum(-1)  # (B, N)
    return logsumexp(log_px + _log_prior(weights, z), axis=-1) + model.latent_dim * math.log(step)


def _log_prior(weights: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    dim = z.shape[1]
    if "prior.mean" in weights:
        means, logits = weights["prior.mean"], weights["prior.logits"]
        covariances = [np.diag(np.exp(row)) for row in -2 + 4 * np.tanh(weights["prior.log_var.raw"] / 4)]
        log_weights = logits - logsumexp(logits)
    elif "prior.raw_pseudo_inputs" in weights:
        head = weights["prior.raw_pseudo_inputs"] @ weights["posterior.head.weight"].T + weights["posterior.head.bias"]
        means, entries = head[:, :dim], head[:, dim:]
        covariances = [tril @ tril.T for tril in map(_tril, entries, [dim] * len(entries))]
        log_weights = np.full(len(means), -math.log(len(means)))
    else:
        means, covariances, log_weights = np.zeros((1, dim)), [np.eye(dim)], np.zeros(1)
    rows = [_log_normal(z, *each) for each in zip(means, covariances, strict=True)]
    return logsumexp(np.stack(rows) + log_weights[:, None], axis=0)


def _tril(entries: np.ndarray, dim: int) -> np.ndarray:
    tril, position = np.zeros((dim, dim)), 0
    for row in range(dim):
        for column in range(row + 1):
            value = entries[position]
            tril[row, column] = np.logaddexp(0, value) + FLOOR if row == column else value
            position += 1
    return tril


def _log_normal(z: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    deviation = z - mean
    squares = (deviation @ np.linalg.inv(covariance) * deviation).sum(-1)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + len(mean) * LOG_2PI)


# One real pixel, one latent dimension, all linear: expectations over K samples by a grid over their noise.


def toy(prior: str) -> VAE:
    """A posterior that is some way off, so that all bounds differ."""
    encoder = MLPEncoder((1,), [], "gated")
    posterior = GaussianPosterior(encoder, 1, (-6.0, 2.0))
    decoder = MLPDecoder(
        1, [], "gated", GaussianLikelihood((1,), 0.8, "shared", min_scale=0.0, relative_min_scale=0.0, squash=False)
    )
    model = VAE(1, prior_of(prior, 1, 1), posterior, decoder)
    with torch.no_grad():
        posterior.head.weight.copy_(torch.tensor([[0.5], [0.3]]))
        posterior.head.bias.copy_(torch.tensor([0.4, -0.6]))
        decoder.output.weight.fill_(1.2)
        decoder.output.bias.fill_(-0.3)
    return model


TOY_X = 0.7


def toy_log_p(model: VAE) -> float:
    """log p(x) at the toy's x."""
    z = torch.arange(-15, 15, 0.01)
    with torch.no_grad():
        p = dict(model.named_parameters())
        return ((_toy_log_px(p, z) + _toy_log_pz(p, z)).logsumexp(0) + math.log(0.01)).item()


def toy_expectation(model: VAE, num_samples: int, function: Callable[[Tensor], Tensor], points: int = 81) -> Tensor:
    """E of function(log weights of K samples), (K, ...) -> (...), differentiable in the model's parameters."""
    return toy_terms_expectation(model, num_samples, lambda px, pz, qz: function(px + pz - qz), points)


def toy_terms_expectation(
    model: VAE, num_samples: int, function: Callable[[Tensor, Tensor, Tensor], Tensor], points: int = 81
) -> Tensor:
    """E of function(log p(x | z), log p(z), log q(z | x)), each (K, ...)."""
    p = dict(model.named_parameters())
    noise = torch.linspace(-8, 8, points)
    mean, log_var = _toy_posterior(p, torch.tensor(TOY_X))
    z = mean + (0.5 * log_var).exp() * noise
    terms = _toy_log_px(p, z), _toy_log_pz(p, z), _normal(z, mean, log_var)
    mass = _normal(noise, torch.tensor(0.0), torch.tensor(0.0)).exp() * (noise[1] - noise[0])
    grids = [torch.stack(torch.meshgrid(*[term] * num_samples, indexing="ij")) for term in terms]  # (K, n, .., n)
    masses = torch.stack(torch.meshgrid(*[mass] * num_samples, indexing="ij")).prod(0)
    return (masses * function(*grids)).sum()


def _normal(value: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * ((value - mean) ** 2 / log_var.exp() + log_var + LOG_2PI)


def _toy_posterior(p: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    output = p["posterior.head.weight"][:, 0] * x.unsqueeze(-1) + p["posterior.head.bias"]
    return output[..., 0], output[..., 1]


def _toy_log_px(p: Mapping[str, Tensor], z: Tensor) -> Tensor:
    mean = p["decoder.output.weight"][0, 0] * z + p["decoder.output.bias"][0]
    return _normal(torch.tensor(TOY_X), mean, 2 * p["decoder.likelihood.log_scale"])


def _toy_log_pz(p: Mapping[str, Tensor], z: Tensor) -> Tensor:
    if "prior.mean" in p:
        weights = p["prior.logits"].exp() / p["prior.logits"].exp().sum()
        means, log_vars = p["prior.mean"][:, 0], -2 + 4 * torch.tanh(p["prior.log_var.raw"][:, 0] / 4)
    elif "prior.raw_pseudo_inputs" in p:
        means, log_vars = _toy_posterior(p, p["prior.raw_pseudo_inputs"][:, 0])
        weights = torch.ones_like(means) / len(means)
    else:
        means, log_vars, weights = torch.zeros(1), torch.zeros(1), torch.ones(1)
    return (weights * _normal(z.unsqueeze(-1), means, log_vars).exp()).sum(-1).log()
