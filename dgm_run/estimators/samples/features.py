"""Features of examples for distances: those of a classifier trained in place, others without labels, or your own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.samples import network_file
from dgm_run.networks.linear import Linear
from dgm_run.recording.image_grid import is_image

FeatureKind = Literal["classifier", "random", "pca", "pixels"]

FEATURE_DIM = 64
MIN_RELATIVE_VARIANCE = 1e-6
"""Smallest variance of a principal component relative to the largest: data do not vary along the others."""
NUM_STEPS = 800
TRAIN_BATCH_SIZE = 128
BATCH_SIZE = 1000
"""Examples at a time after the training."""


@dataclass(frozen=True)
class Features:
    """Map of examples (N, *shape) to features (N, D), with mean 0 and variance 1 over the training data.

    Pixels and features of a network in a file are not standardised.

    Args:
        embed: maps a batch to raw features, (B, *shape) -> (B, D).
        mean: mean of the raw features, (D,).
        scale: standard deviation of the raw features, (D,).
        classify: maps a batch to log-odds of its classes, (B, K); None where there are no labels.
        batch_size: examples at a time.
    """

    embed: Callable[[Tensor], Tensor]
    mean: Tensor
    scale: Tensor
    classify: Callable[[Tensor], Tensor] | None = None
    batch_size: int = BATCH_SIZE

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([(self.embed(rows).double() - self.mean) / self.scale for rows in x.split(self.batch_size)])

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Returns class probabilities, (N, K), float64."""
        assert self.classify is not None
        return torch.cat([self.classify(rows).double().softmax(1) for rows in x.split(BATCH_SIZE)])


def fit_features(
    kind: FeatureKind | str,
    train: DataSplit,
    seed: int,
    report: Callable[[int, int], None] = lambda *_: None,
    index: Tensor | None = None,
) -> Features:
    """Fits features to training examples; the same examples and seed give the same features.

    Args:
        kind: classifier (the last hidden layer of a classifier of the labels) | random (the same network, untrained) |
            pca | pixels | the file of a network.
        train: the training examples, with labels for a classifier.
        seed: seed of the network and of its training.
        report: receives the progress of a classifier's training, as (steps done, steps in all).
        index: positions of the examples to fit to; None for all.
    """
    with torch.random.fork_rng(devices=[train.device] if train.device.type == "cuda" else []), torch.enable_grad():
        torch.manual_seed(seed)
        index = torch.arange(len(train), device=train.x.device) if index is None else index
        x = torch.cat([train.batch(rows) for rows in index.split(BATCH_SIZE)])
        y = None if train.y is None else train.y[index]
        if kind == "pixels":
            dim = x[0].numel()
            return Features(_flatten, x.new_zeros(dim), x.new_ones(dim))
        if network_file.is_network_name(kind):
            own = network_file.NetworkFile(kind, train.standardization)
            return Features(own, x.new_zeros(()), x.new_ones(()), batch_size=network_file.BATCH_SIZE)
        if kind == "pca":
            return _standardize(_fit_principal_components(x), x)
        network = FeatureNetwork(x.shape[1:], 1 if y is None else int(y.max()) + 1).to(x)
        if kind == "classifier":
            assert y is not None
            _train(network, x[y >= 0], y[y >= 0], report)  # -1 is no label
    network.eval()
    return _standardize(network.embed, x, network if kind == "classifier" else None)


class FeatureNetwork(nn.Module):
    """Classifier of two convolutions of stride two and two linear layers; data other than images skip the convolutions.

    Args:
        shape: shape of one example.
        num_classes: K.
    """

    def __init__(self, shape: tuple[int, ...], num_classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        if is_image(shape):
            channels = shape[0]
            for width in (16, 32):
                layers += [nn.Conv2d(channels, width, 5, 2, 2), nn.ReLU()]
                channels = width
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            dim = self.convolutions(torch.zeros(1, *shape)).shape[1]
        self.features = Linear(dim, FEATURE_DIM)
        self.head = Linear(FEATURE_DIM, num_classes)

    def embed(self, x: Tensor) -> Tensor:
        """Returns the input of the last layer before its nonlinearity: (B, *shape) -> (B, D)."""
        return self.features(self.convolutions(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.embed(x)))


def _train(network: FeatureNetwork, x: Tensor, y: Tensor, report: Callable[[int, int], None]) -> None:
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=NUM_STEPS)
    for step, index in enumerate(_draw_batches(len(x)), 1):
        index = index.to(x.device)
        F.cross_entropy(network(x[index]), y[index]).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        report(step, NUM_STEPS)


def _draw_batches(n: int) -> Iterator[Tensor]:
    """Yields NUM_STEPS batches of positions from epochs in random order."""
    queue = torch.randperm(n)
    for _ in range(NUM_STEPS):
        if len(queue) < min(TRAIN_BATCH_SIZE, n):
            queue = torch.cat([queue, torch.randperm(n)])
        yield queue[:TRAIN_BATCH_SIZE]
        queue = queue[TRAIN_BATCH_SIZE:]


def _fit_principal_components(x: Tensor) -> Callable[[Tensor], Tensor]:
    flat = _flatten(x).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T, correction=0))
    chosen = vectors[:, values > MIN_RELATIVE_VARIANCE * values[-1]][:, -FEATURE_DIM:]
    return lambda rows: _flatten(rows).double() @ chosen


def _standardize(
    embed: Callable[[Tensor], Tensor], x: Tensor, classify: Callable[[Tensor], Tensor] | None = None
) -> Features:
    dim = embed(x[:1]).shape[1]
    raw = Features(embed, torch.zeros(dim).to(x), torch.ones(dim).to(x))(x)
    return Features(embed, raw.mean(0), raw.std(0).clamp(min=1e-6 * raw.std()), classify)


def _flatten(x: Tensor) -> Tensor:
    return x.flatten(1)
