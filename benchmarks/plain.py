"""The reference VAE as tutorials write it: value and gate apart, sigmoid and cross-entropy, a DataLoader."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.table import Options
from dgm_run.data.dataset import LoadedDataset

DATA_DIM, HIDDEN_DIM, LATENT_DIM, BATCH_SIZE = 784, 300, 40, 100


class Gated(nn.Module):
    """(W x + b) * sigmoid(V x + c)."""

    def __init__(self, in_dim: int, out_dim: int):
        super().__init__()
        self.value, self.gate = nn.Linear(in_dim, out_dim), nn.Linear(in_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * torch.sigmoid(self.gate(x))


class Encoder(nn.Module):
    """x -> mean and log-variance of q(z | x)."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential(Gated(DATA_DIM, HIDDEN_DIM), Gated(HIDDEN_DIM, HIDDEN_DIM))
        self.mean, self.log_var = nn.Linear(HIDDEN_DIM, LATENT_DIM), nn.Linear(HIDDEN_DIM, LATENT_DIM)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.hidden(x.flatten(1))
        return self.mean(h), F.hardtanh(self.log_var(h), -6, 2)


def decoder() -> nn.Sequential:
    """z -> probabilities of the pixels."""
    hidden = [Gated(LATENT_DIM, HIDDEN_DIM), Gated(HIDDEN_DIM, HIDDEN_DIM)]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN_DIM, DATA_DIM), nn.Sigmoid())


class PlainVAE(nn.Module):
    """The importance-weighted bound, which is the ELBO for one sample.

    Args:
        num_components: pseudo-inputs of a VampPrior; 0 for N(0, I).
        num_samples: of z for each example.
    """

    def __init__(self, num_components: int, num_samples: int):
        super().__init__()
        self.encoder, self.decoder, self.num_samples = Encoder(), decoder(), num_samples
        self.pseudo_inputs = nn.Parameter(torch.rand(num_components, DATA_DIM)) if num_components else None

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x)
        shape = (self.num_samples, *mean.shape)
        z = mean + torch.exp(0.5 * log_var) * torch.randn(shape, device=x.device)  # (S, B, L)
        log_q = log_normal(z, mean, log_var)
        target = x.flatten(1).expand(self.num_samples, -1, -1)
        log_px = -F.binary_cross_entropy(self.decoder(z), target, reduction="none").sum(-1)
        log_w = log_px + self.log_p(z) - log_q  # (S, B)
        return -(log_w.logsumexp(0) - math.log(self.num_samples)).mean()

    def log_p(self, z: Tensor) -> Tensor:
        if self.pseudo_inputs is None:
            return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
        mean, log_var = self.encoder(self.pseudo_inputs.clamp(0, 1))
        log_p = log_normal(z.unsqueeze(-2), mean, log_var)  # (S, B, K)
        return log_p.logsumexp(-1) - math.log(len(mean))


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * (log_var + (z - mean).square() / log_var.exp() + math.log(2 * math.pi)).sum(-1)


def tensors(data: LoadedDataset) -> Dataset:
    """The training images as floats, ready to be loaded."""
    return TensorDataset(data.train.x.cpu().float() / 255)


def torchvision_mnist(folder: Path) -> Dataset:
    from torchvision import datasets, transforms

    return datasets.MNIST(str(folder), transform=transforms.ToTensor())


def plain_loop(dataset: Dataset, options: Options, steps: int, components: int, samples: int) -> Callable[[], object]:
    return _loop(PlainVAE(components, samples), dataset, options, steps, lambda x: x)


def loop_of(model: nn.Module, data: LoadedDataset, options: Options, steps: int) -> Callable[[], object]:
    """The same for a model of pixels that are drawn for each batch."""
    return _loop(model, tensors(data), options, steps, torch.bernoulli)


def _loop(
    model: nn.Module, dataset: Dataset, options: Options, steps: int, prepare: Callable[[Tensor], Tensor]
) -> Callable[[], object]:
    """`steps` steps over a DataLoader, the loss read at each."""
    model = model.to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    batches = endless(DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True))

    def run() -> None:
        total = 0.0
        for _ in range(steps):
            loss = model(prepare(next(batches)[0].to(options.device)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()

    return run


def endless(loader: DataLoader):
    while True:
        yield from loader
