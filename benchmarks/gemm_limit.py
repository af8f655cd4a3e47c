"""The matrix products of the reference VAE and nothing else: no activation, no loss, no update.

They are computed by the library that is fastest on this processor.
"""

from collections.abc import Callable, Sequence
from unittest import mock

import torch

from benchmarks.plain import BATCH_SIZE, DATA_DIM, HIDDEN_DIM, LATENT_DIM
from benchmarks.table import GEMMS, TORCH_GEMMS
from dgm_run.networks import products
from dgm_run.networks.products import multiply


class Product:
    """The products of one linear layer, (rows, in_dim) -> (rows, out_dim).

    Args:
        rows: examples.
        in_dim: inputs.
        out_dim: outputs.
        device: where they stand.
        gradient_rows: rows whose input receives a gradient; all if None.
    """

    def __init__(self, rows: int, in_dim: int, out_dim: int, device: torch.device, gradient_rows: int | None = None):
        self.x = torch.randn(rows, in_dim, device=device)
        self.weight = torch.randn(out_dim, in_dim, device=device)
        self.y_gradient = torch.randn(rows, out_dim, device=device)
        self.gradient_rows = rows if gradient_rows is None else gradient_rows

    def forward(self) -> None:
        multiply(self.x, self.weight.T)

    def backward(self) -> None:
        multiply(self.y_gradient.T, self.x)
        if self.gradient_rows:
            multiply(self.y_gradient[: self.gradient_rows], self.weight)


def encoder(rows: int, device: torch.device, pseudo_inputs: int = 0) -> list[Product]:
    """Data and pseudo-inputs in one pass; only the latter receive a gradient."""
    rows += pseudo_inputs
    return [
        Product(rows, DATA_DIM, 2 * HIDDEN_DIM, device, gradient_rows=pseudo_inputs),
        Product(rows, HIDDEN_DIM, 2 * HIDDEN_DIM, device),
        Product(rows, HIDDEN_DIM, 2 * LATENT_DIM, device),
    ]


def decoder(rows: int, device: torch.device) -> list[Product]:
    return [
        Product(rows, LATENT_DIM, 2 * HIDDEN_DIM, device),
        Product(rows, HIDDEN_DIM, 2 * HIDDEN_DIM, device),
        Product(rows, HIDDEN_DIM, DATA_DIM, device),
    ]


def mixture(rows: int, components: int, device: torch.device) -> list[Product]:
    """The densities of all components at all rows, squares expanded."""
    return [Product(rows, 2 * LATENT_DIM, components, device)] if components else []


def add_limits(runs: dict[str, Callable[[], object]], run: Callable[[], object]) -> None:
    """Adds the products to the contenders, also by `torch.mm` where another library is faster."""
    runs[GEMMS] = run
    if products.PREFERS_ONEDNN:
        runs[TORCH_GEMMS] = _by_torch(run)


def _by_torch(run: Callable[[], object]) -> Callable[[], object]:
    def run_by_torch() -> None:
        with mock.patch.object(products, "PREFERS_ONEDNN", False):
            run()

    return run_by_torch


def training(steps: int, components: int, samples: int, device: torch.device) -> Callable[[], object]:
    """`steps` steps, forward and backward."""
    rows = samples * BATCH_SIZE
    layers = encoder(BATCH_SIZE, device, components) + mixture(rows, components, device) + decoder(rows, device)
    return lambda: _repeat(steps, layers, backward=True)


def likelihood(images: int, components: int, samples: int, rows: int, device: torch.device) -> Callable[[], object]:
    """`samples` decoder passes of so many images, `rows` at a time."""
    layers = mixture(rows, components, device) + decoder(rows, device)
    return lambda: _repeat(images * samples // rows, layers, backward=False)


def contrastive_divergence(steps: int, hidden: int, sweeps: int, device: torch.device) -> Callable[[], object]:
    """`steps` steps: the data's hidden units, down and up for every sweep, and the statistics of both phases."""
    down, up = _both_ways(BATCH_SIZE, hidden, device)
    states, units = (
        torch.rand(2 * BATCH_SIZE, DATA_DIM, device=device),
        torch.rand(2 * BATCH_SIZE, hidden, device=device),
    )

    @torch.no_grad()
    def step() -> None:
        up()
        for _ in range(sweeps):
            down()
            up()
        multiply(states.T, units)

    return lambda: [step() for _ in range(steps)]


def annealing(temperatures: int, chains: int, hidden: int, device: torch.device) -> Callable[[], object]:
    """Down and up at every temperature."""
    down, up = _both_ways(chains, hidden, device)

    @torch.no_grad()
    def run() -> None:
        for _ in range(temperatures):
            down()
            up()

    return run


def _both_ways(rows: int, hidden: int, device: torch.device) -> tuple[Callable[[], object], Callable[[], object]]:
    """Returns the products from hidden to visible units and back."""
    x, h = torch.rand(rows, DATA_DIM, device=device), torch.rand(rows, hidden, device=device)
    weight = 0.01 * torch.randn(DATA_DIM, hidden, device=device)
    return lambda: multiply(h, weight.T), lambda: multiply(x, weight)


@torch.no_grad()
def _repeat(times: int, layers: Sequence[Product], backward: bool) -> None:
    for _ in range(times):
        for product in layers:
            product.forward()
        for product in reversed(layers if backward else []):
            product.backward()
