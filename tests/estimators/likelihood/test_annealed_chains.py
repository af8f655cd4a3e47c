import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from dgm_run.estimators.base import no_progress
from dgm_run.estimators.likelihood.ais_decoder import AISDecoder
from dgm_run.estimators.likelihood.annealed_chains import AnnealedChains, NoisyDecoder
from dgm_run.estimators.likelihood.temperatures import list_temperatures
from dgm_run.samplers.hmc import evaluate_point
from tests.estimators.likelihood.test_ais_decoder import SETTINGS, linear

pytestmark = pytest.mark.usefixtures("double")


def tempered_posterior(model, x, beta):
    """p(z) p(x | z)^beta, normalised: mean (N, L), covariance (L, L), and the mean of log p(x | z) under it, (N,)."""
    p = model.density
    scaled = p.weight / p.log_var.exp().unsqueeze(-1)
    covariance = torch.linalg.inv(torch.eye(p.latent_dim) + beta * p.weight.T @ scaled)
    mean = beta * (x - p.bias) @ scaled @ covariance
    rest = x - p.bias - mean @ p.weight.T
    squares = (rest.square() / p.log_var.exp()).sum(-1) + ((p.weight.T @ scaled) @ covariance).trace()
    return mean, covariance, -0.5 * (squares + p.log_var.sum() + len(p.bias) * math.log(2 * math.pi))


@torch.no_grad()
@pytest.mark.parametrize(
    ("schedule", "num_chains"),
    [
        ("sigmoid", 5000),
        pytest.param("sigmoid", 20_000, marks=pytest.mark.slow),
        pytest.param("linear", 20_000, marks=pytest.mark.slow),
    ],
)
def test_perfect_moves_give_exact_weights(schedule, num_chains, monkeypatch):
    model = linear()
    torch.manual_seed(1)
    z = model.latent_prior().sample((5,))
    x = model.decode(z).sample()
    betas = list_temperatures(schedule, 40)

    def perfect(self, point, t, log_densities, step_size=None):
        mean, covariance, _ = tempered_posterior(model, x, betas[t])
        draws = MultivariateNormal(mean, covariance).sample(point.z.shape[:1])
        return evaluate_point(draws, log_densities), torch.ones(point.z.shape[:-1])

    monkeypatch.setattr(AnnealedChains, "_move", perfect)
    settings = AISDecoder(**(SETTINGS | {"num_chains": num_chains, "max_batch_rows": 10**6}))
    chains = AnnealedChains(settings, NoisyDecoder(model, None), betas, x, 0, no_progress)
    levels = torch.stack([tempered_posterior(model, x, beta)[2] for beta in betas])  # (T + 1, N)
    steps = torch.tensor(betas).diff().unsqueeze(-1)

    forward, _ = chains.run_forward(x)
    error = forward.std(0) / math.sqrt(num_chains)
    assert ((forward.mean(0) - (steps * levels[:-1]).sum(0)) / error).abs().max() < 4.5
    ratio = (forward - model.log_prob(x)).exp()  # 1 in the mean
    assert ((ratio.mean(0) - 1) / (ratio.std(0) / math.sqrt(num_chains))).abs().max() < 4.5

    # backwards, after the end itself, the states come from one temperature up, where each move is perfect
    z = MultivariateNormal(*tempered_posterior(model, x, 1.0)[:2]).sample()
    backward = chains.run_backward(x, z)
    expected = (steps[:-1] * levels[1:-1]).sum(0) + steps[-1] * model.decode(z).log_prob(x)
    error = backward.std(0) / math.sqrt(num_chains)
    assert ((backward.mean(0) - expected) / error).abs().max() < 4.5
