"""Measures the speed of Hamiltonian annealed importance sampling: gradients of the decoder a second."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import ours
from benchmarks.data import load
from benchmarks.table import DECODER, Contender, Options, Ratios, measure, show
from dgm_run.config.compose import instantiate
from dgm_run.estimators.base import no_progress
from dgm_run.estimators.likelihood.annealed_chains import AnnealedChains, NoisyDecoder
from dgm_run.estimators.likelihood.temperatures import list_temperatures

HIDDEN = (300, 300)
LATENT_DIM = 40
NUM_EXAMPLES, NUM_CHAINS = 100, 16


def run(options: Options) -> Ratios:
    cfg = ours.config(
        *("model=gan", f"model.latent_dim={LATENT_DIM}", f"decoder.hidden_dims={list(HIDDEN)}"),
        *("decoder.activation=relu", "estimators=[ais_decoder]", "estimators.ais_decoder.scale=model"),
        *(f"estimators.ais_decoder.num_chains={NUM_CHAINS}", "estimators.ais_decoder.num_leapfrog=2"),
    )  # fmt: skip
    settings, model = instantiate(cfg.estimators.ais_decoder), ours.model_of(cfg, options.device).eval()
    x = load(options.device).test.batch(slice(0, NUM_EXAMPLES)).to(options.device)
    count = options.turns(40)
    chains = AnnealedChains(settings, NoisyDecoder(model, None), list_temperatures("sigmoid", count), x, 0, no_progress)
    gradients = 1 + (count - 1) * settings.num_leapfrog
    rows = NUM_EXAMPLES * NUM_CHAINS
    contenders = [
        Contender("dgm-run", gradients * rows, torch.no_grad()(lambda: chains.run_forward(x))),
        Contender(DECODER, gradients * rows, _passes(gradients, rows, x, options.device)),
    ]
    title = f"Annealed importance sampling of a decoder {LATENT_DIM}-300-300-784, {NUM_CHAINS} chains each"
    return show(title, measure(contenders, options), unit="gradients/s")


def _passes(count: int, rows: int, x: Tensor, device: torch.device) -> Callable[[], object]:
    """Mean of the pixels, squared distance to the data, and its gradient, `count` times."""
    layers: list[nn.Module] = []
    for before, after in zip((LATENT_DIM, *HIDDEN), HIDDEN, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU()]
    decoder = nn.Sequential(*layers, nn.Linear(HIDDEN[-1], 784), nn.Sigmoid()).to(device).requires_grad_(False)
    z, target = torch.randn(rows, LATENT_DIM, device=device), x.flatten(1).repeat(rows // len(x), 1)

    def run() -> None:
        for _ in range(count):
            z.requires_grad_()
            (z.grad,) = torch.autograd.grad(-50 * (decoder(z) - target).square().sum(), z)

    return run
