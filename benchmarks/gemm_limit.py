"""The matrix products of the reference VAE and nothing else: no activation, no loss, no update."""

from collections.abc import Callable, Sequence

import torch

from benchmarks.plain import BATCH_SIZE, DATA_DIM, HIDDEN_DIM, LATENT_DIM


class Product:
    """The products of one linear layer, (rows, in_dim) -> (rows, out_dim), into buffers made beforehand.

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
        self.y = torch.empty(rows, out_dim, device=device)
        self.weight_gradient = torch.empty_like(self.weight)
        self.x_gradient = torch.empty_like(self.x[:gradient_rows])

    def forward(self) -> None:
        torch.mm(self.x, self.weight.T, out=self.y)

    def backward(self) -> None:
        torch.mm(self.y.T, self.x, out=self.weight_gradient)
        if len(self.x_gradient):
            torch.mm(self.y[: len(self.x_gradient)], self.weight, out=self.x_gradient)


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


def training(steps: int, components: int, samples: int, device: torch.device) -> Callable[[], object]:
    """`steps` steps, forward and backward."""
    rows = samples * BATCH_SIZE
    products = encoder(BATCH_SIZE, device, components) + mixture(rows, components, device) + decoder(rows, device)
    return lambda: _repeat(steps, products, backward=True)


def likelihood(images: int, components: int, samples: int, rows: int, device: torch.device) -> Callable[[], object]:
    """`samples` decoder passes of so many images, `rows` at a time."""
    products = mixture(rows, components, device) + decoder(rows, device)
    return lambda: _repeat(images * samples // rows, products, backward=False)


def contrastive_divergence(steps: int, hidden: int, sweeps: int, device: torch.device) -> Callable[[], object]:
    """`steps` steps: the data's hidden units, down and up for every sweep, and the statistics of both phases."""
    down, up, weight = _both_ways(BATCH_SIZE, hidden, device)
    states, units = (
        torch.rand(2 * BATCH_SIZE, DATA_DIM, device=device),
        torch.rand(2 * BATCH_SIZE, hidden, device=device),
    )
    gradient = torch.empty_like(weight)

    def step() -> None:
        up()
        for _ in range(sweeps):
            down()
            up()
        torch.mm(states.T, units, out=gradient)

    return lambda: [step() for _ in range(steps)]


def annealing(temperatures: int, chains: int, hidden: int, device: torch.device) -> Callable[[], object]:
    """Down and up at every temperature."""
    down, up, _ = _both_ways(chains, hidden, device)
    return lambda: [(down(), up()) for _ in range(temperatures)]


def _both_ways(
    rows: int, hidden: int, device: torch.device
) -> tuple[Callable[[], object], Callable[[], object], torch.Tensor]:
    """Returns the products from hidden to visible units and back, and the weights (D, M) that both share."""
    x, h = torch.rand(rows, DATA_DIM, device=device), torch.rand(rows, hidden, device=device)
    weight = 0.01 * torch.randn(DATA_DIM, hidden, device=device)
    logits, preactivations = torch.empty_like(x), torch.empty_like(h)
    return lambda: torch.mm(h, weight.T, out=logits), lambda: torch.mm(x, weight, out=preactivations), weight


def _repeat(times: int, products: Sequence[Product], backward: bool) -> None:
    for _ in range(times):
        for product in products:
            product.forward()
        for product in reversed(products if backward else []):
            product.backward()
