"""Checks shared by all energy models over few binary units, where every sum can be written out.

The truth is the joint energy, summed in NumPy; a model under test gives `log_unnormalized`, and the rest is held to it.
States are the pixels, or the pixels and, behind them, the hidden units that are not summed out.
"""

import itertools
import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from scipy.special import logsumexp
from scipy.stats import chi2
from torch import Tensor

from dgm_run.models.energy.base import EnergyModel

BETAS = (0.0, 0.5, 1.0)


def states(num_bits: int) -> np.ndarray:
    """Returns the elements of {0, 1}^num_bits, (2^num_bits, num_bits)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=num_bits)))


def visible_states(model: EnergyModel) -> Tensor:
    """Returns every x, (2^D, *shape), in the type of the model."""
    x = torch.tensor(states(math.prod(model.shape)), dtype=next(model.parameters()).dtype)
    return x.unflatten(1, model.shape)


def all_states(model: EnergyModel) -> Tensor:
    """Returns every state, (2^N, *state_shape), in the type of the model."""
    if not model.has_latent_states:
        return visible_states(model)
    return torch.tensor(states(len(model.base_logits)), dtype=next(model.parameters()).dtype)


def weights_of(model: EnergyModel) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in model.state_dict().items()}


def log_f(model: EnergyModel, beta: float = 1.0) -> Tensor:
    """log f_beta of every state, (2^N,)."""
    x = all_states(model)
    return model.log_unnormalized(x, model.preactivations(x), beta).detach()


def probabilities(model: EnergyModel, beta: float = 1.0) -> Tensor:
    return log_f(model, beta).softmax(0)


def of_pixels(model: EnergyModel, p: Tensor) -> Tensor:
    """The marginal of the pixels, (2^D,), of a density over states."""
    return p.view(2 ** math.prod(model.shape), -1).sum(1)


def index_of(x: Tensor) -> Tensor:
    """The place of every state in the list of all, (N,)."""
    bits = x.flatten(1).long()
    return (bits * 2 ** torch.arange(bits.shape[1] - 1, -1, -1)).sum(1)


def check_free_energy(model: EnergyModel, log_joint: np.ndarray) -> None:
    """`log_joint` is -E of every state and every setting of the other hidden units, (2^N, H)."""
    expected = logsumexp(log_joint, axis=1)
    np.testing.assert_allclose(log_f(model).numpy(), expected, atol=1e-10)
    if not model.has_latent_states:
        np.testing.assert_allclose(model.free_energy(visible_states(model)).detach().numpy(), -expected, atol=1e-10)


def check_partitions(model: EnergyModel, log_joint: np.ndarray) -> None:
    np.testing.assert_allclose(model.log_partition().item(), logsumexp(log_joint), atol=1e-10)
    base = log_f(model, 0.0).logsumexp(0)
    torch.testing.assert_close(model.log_base_partition(), base.double(), atol=1e-10, rtol=0)


def check_base_is_independent_units(model: EnergyModel) -> None:
    x = all_states(model)
    log_p = log_f(model, 0.0).log_softmax(0)
    means = (log_p.exp() @ x.flatten(1)).clamp(1e-12, 1 - 1e-12)
    independent = (x.flatten(1) * means.logit()).sum(1) + torch.log1p(-means).sum()
    torch.testing.assert_close(log_p, independent)
    check_follows(model.sample_base(40_000), log_p.exp())
    pixels = of_pixels(model, log_p.exp()).log()
    torch.testing.assert_close(model.log_baseline(visible_states(model)).detach(), pixels)


def check_one_beta_for_each_row(model: EnergyModel) -> None:
    x = all_states(model)
    betas = torch.linspace(0, 1, len(x), dtype=x.dtype)
    expected = torch.stack([log_f(model, float(beta))[i] for i, beta in enumerate(betas)])
    torch.testing.assert_close(model.log_unnormalized(x, model.preactivations(x), betas).detach(), expected)
    # two temperatures in one batch, each row at its own
    p, n = [probabilities(model, beta) for beta in (0.2, 1.0)], 40_000
    start = torch.cat([x[torch.multinomial(each, n, replacement=True)] for each in p])
    moved = model.gibbs_step(
        start, model.preactivations(start), torch.tensor([0.2, 1.0], dtype=x.dtype).repeat_interleave(n)
    )
    for draws, each in zip(moved.split(n), p, strict=True):
        check_follows(draws.detach(), each)


def check_gradient_is_that_of_the_free_energy(model: EnergyModel) -> None:
    x = all_states(model)
    weights = torch.linspace(-1, 2, len(x), dtype=x.dtype)
    by_hand = model.gradient(x, model.preactivations(x).detach(), weights)
    parameters = dict(model.named_parameters())
    expected = torch.autograd.grad(
        -weights @ model.log_unnormalized(x, model.preactivations(x)), list(parameters.values())
    )
    assert set(by_hand) == set(parameters)
    for name, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(by_hand[name], value, msg=name)


def check_gibbs_leaves_every_density_as_it_is(model: EnergyModel, num_draws: int = 200_000) -> None:
    x = all_states(model)
    for beta in BETAS:
        p = probabilities(model, beta)
        start = x[torch.multinomial(p, num_draws, replacement=True)]
        check_follows(model.gibbs_step(start, model.preactivations(start), beta), p)


def check_chains_reach_the_density(model: EnergyModel) -> None:
    check_follows(model.sample(20_000, num_steps=200), of_pixels(model, probabilities(model)))


def check_completion_follows_the_conditional(model: EnergyModel) -> None:
    """The first pixel is known and on."""
    observed = torch.zeros(math.prod(model.shape), dtype=torch.bool)
    observed[0] = True
    observed = observed.view(model.shape)
    x = visible_states(model)
    given = of_pixels(model, probabilities(model)) * x.flatten(1)[:, 0]
    start = torch.ones(20_000, *model.shape, dtype=x.dtype)
    check_follows(after(200, model.iterate_completions(start, observed)), given / given.sum())


@torch.no_grad()
def after(num_steps: int, chain: Iterator[Tensor]) -> Tensor:
    return next(islice(chain, num_steps - 1, None))


def check_follows(draws: Tensor, p: Tensor) -> None:
    """Chi-square of the counts against p over all states, rare cells merged; fails once in a million."""
    counts = torch.bincount(index_of(draws), minlength=len(p)).double()
    expected = p.double() * len(draws)
    rare = expected < 10
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    kept = expected > 0
    assert counts[~kept].sum() == 0
    statistic = ((counts - expected)[kept].square() / expected[kept]).sum().item()
    assert chi2.sf(statistic, int(kept.sum()) - 1) > 1e-6, statistic
