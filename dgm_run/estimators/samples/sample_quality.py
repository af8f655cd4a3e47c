"""How samples of a model compare with data that it has not seen, beside how training data do."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from scipy.stats import binom
from torch import Tensor

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import Limits, Margin, clip_interval, mean_and_stderr
from dgm_run.estimators.proportions import SHARE, width_as_stderr, wilson_interval
from dgm_run.estimators.samples.blocks import block_stderr
from dgm_run.estimators.samples.features import Features, fit
from dgm_run.estimators.samples.frechet import frechet_distance
from dgm_run.estimators.samples.kernel import (
    cubic_distances,
    cubic_stderr,
    discrepancy_stderr,
    permutation_p_value,
    squared_discrepancy,
)
from dgm_run.estimators.samples.precision_recall import expected_coverage, manifolds, nearest, radii
from dgm_run.estimators.samples.two_sample import linear_accuracy, neighbour_accuracy
from dgm_run.models.base import GenerativeModel, LatentVariableModel
from dgm_run.recording.image_grid import pairs

ROWS = 1000
"""Samples at a time."""
COMPARED = 2000
"""Examples of each kind for the test by permutations, at most: it holds all distances at once."""
CLOSE = 0.01
"""Share of data points whose nearest other one is so near that two samples as near count as duplicates."""
HELD = 20_000
"""Training examples of those that stay on the disk: they may be more than fit into memory."""
BLOCK_NEIGHBOURS = 12
"""Examples of a block of precision and recall for each neighbour, at least."""
SHOWN = 32
COLLAPSED = 0.05
"""Recall below which samples that look like data have collapsed."""
FORGOTTEN = 0.1
"""Share of a class among samples over that among data, below which the class is forgotten."""


class Known(NamedTuple):
    """What is learnt of the training data.

    Attributes:
        features: of examples.
        x: the training examples, (N, *shape).
        z: their features, (N, D).
    """

    features: Features
    x: Tensor
    z: Tensor


class Seen(NamedTuple):
    """Examples, (n, *shape), and their features, (n, D)."""

    x: Tensor
    z: Tensor


class Found(NamedTuple):
    """One number about two samples, as the fields of an `Estimate`."""

    value: float
    stderr: float | None = None
    unit: str = ""
    diagnostics: dict[str, float | None] = {}
    warning: str | None = None
    interval: tuple[float, float] | None = None
    computing_interval: tuple[float, float] | None = None
    limits: Limits | None = None

    @classmethod
    def share(cls, value: float, num: float, **more: Any) -> "Found":
        """A share of so many independent trials."""
        interval = wilson_interval(value, num)
        return cls(value, width_as_stderr(interval), interval=interval, limits=SHARE, **more)

    @classmethod
    def within(cls, value: float, margin: Margin, low: float | None = None, high: float | None = None) -> "Found":
        """A number between two limits, which its interval does not pass."""
        interval = clip_interval(margin.around(value), (low, high))
        return cls(value, width_as_stderr(interval), interval=interval, limits=(low, high))


def _held(train: DataSplit) -> Tensor:
    """Positions of all training examples; of those that stay on the disk of a part, evenly spaced."""
    num = len(train) if train.disk is None else min(len(train), HELD)
    return torch.linspace(0, len(train) - 1, num, dtype=torch.float64).round().long().to(train.x.device)


@dataclass(frozen=True)
class SampleQuality(Estimator[GenerativeModel]):
    """Distances between samples of the model and held-out data, by features of the examples.

    Beside each stands its floor: the same with as many training examples in the place of samples, which is what a
    perfect model reaches. All subsets are drawn at random, and all are of one size: most of these numbers depend on
    it. None is a likelihood, and one alone says little: the mean image has a precision of one.

    The intervals are of what samples and held-out data of this size find in the mean over all that could have been
    drawn, given the training data and the features. The Frechet distance has none: its bias, which falls with the size
    as 1 / N, is mostly larger than its scatter. The accuracies are those of the very classifiers that were fitted. The
    p-value has that of the permutations alone.

    Args:
        num_samples: of the model, of the training and of the held-out data; fewer where there are fewer.
        features: classifier (trained in place, on the labels) | random (the same network, untrained) | pca | pixels.
        feature_seed: of the network, so that runs with other seeds are measured by the same one.
        num_neighbours: k of precision, recall, density and coverage.
        num_permutations: of the test of the discrepancy.
        means: whether samples are the means of p(x | z), without its noise.
        known: what it has learnt, once `fitted`.

    Raises:
        ValueError: a number is not positive.
    """

    num_samples: int
    features: Literal["classifier", "random", "pca", "pixels"]
    feature_seed: int
    num_neighbours: int
    num_permutations: int
    means: bool
    known: Known | None = None

    takes = ("binary", "levels", "continuous")

    def __post_init__(self):
        if min(self.num_samples, self.num_neighbours, self.num_permutations) < 1:
            raise ValueError("num_samples, num_neighbours and num_permutations must be positive")

    def check(self, model: GenerativeModel, data: LoadedDataset) -> None:
        key = "estimators.sample_quality"
        if self.features == "classifier" and data.train.y is None:
            raise ConfigError(f"{key}.features: {data.dataset.name} has no labels: set {key}.features=random")
        if self.means and not isinstance(model, LatentVariableModel):
            raise ConfigError(f"{key}.means: {type(model).__name__} has no p(x | z): set {key}.means=false")
        n = min(self.num_samples, len(data.train), len(data.test))
        if n < 2 * self.num_neighbours:
            raise ConfigError(f"{key}: {n} examples are too few for num_neighbours={self.num_neighbours}: take fewer")

    def fit(
        self, model: GenerativeModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "SampleQuality":
        held = _held(train)
        x, features = train.batch(held), fit(self.features, train, self.feature_seed, report, held)
        return replace(self, known=Known(features, x, features(x)))

    @torch.no_grad()
    def __call__(
        self, model: GenerativeModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        assert self.known is not None
        features, train = self.known.features, self.known
        n = min(self.num_samples, len(data), len(train.x))
        blocks = []
        for first in range(0, n, ROWS):
            blocks.append(self._draw(model, min(ROWS, n - first)))
            report(first + len(blocks[-1]), 2 * n)
        x = torch.cat(blocks)
        samples = Seen(x, features(x))
        kept = _some(len(data), n, x.device)
        held_out = Seen(data.batch(kept), features(data.batch(kept)))
        some = _some(len(train.x), n, x.device)

        floors = self._compare(held_out, Seen(train.x[some], train.z[some]), features) | _nearest_train(held_out, train)
        report(3, 4)
        found = self._compare(held_out, samples, features) | _nearest_train(samples, train)
        report(1, 1)

        settings: dict[str, Any] = {
            "num_samples": n,
            "features": self.features,
            "dim": samples.z.shape[1],
            "k": self.num_neighbours,
        }
        if self.features in ("classifier", "random"):
            settings["feature_seed"] = self.feature_seed
        if self.means:
            settings["means"] = True
        if features.classify:
            assert data.y is not None
            y = data.y[kept]
            is_right = (features.probabilities(held_out.x).argmax(1) == y)[y >= 0].double()
            found["cfid"] = found["cfid"]._replace(diagnostics={"classifier_accuracy": is_right.mean().item()})
        return [
            Estimate(
                name, "sample_quality", "estimate", num_examples=n, settings=settings,
                train_reference=floors[name].value, **each._asdict(),
            )
            for name, each in found.items()
        ]  # fmt: skip

    @torch.no_grad()
    def pictures(self, model: GenerativeModel) -> dict[str, Tensor]:
        """Samples, and below each the training example that is nearest by the features."""
        assert self.known is not None
        samples = self._draw(model, SHOWN)
        _, which = nearest(self.known.features(samples), self.known.z)
        return {"nearest_neighbours": pairs(samples, self.known.x[which], columns=8)}

    def _draw(self, model: GenerativeModel, n: int) -> Tensor:
        if self.means:
            assert isinstance(model, LatentVariableModel)
            return model.generate(n).mean
        return model.sample(n)

    def _compare(self, data: Seen, samples: Seen, features: Features) -> dict[str, Found]:
        n = len(data.z)
        name = "cfid" if self.features == "classifier" else f"frechet_{self.features}"
        found = {name: Found(frechet_distance(data.z, samples.z))}
        margin = Margin.student(cubic_stderr(data.z, samples.z), n - 1)
        found["kid"] = Found.within(cubic_distances(data.z, samples.z).mean().item(), margin)
        found |= self._manifolds(data.z, samples.z)
        found["recall"] = found["recall"]._replace(warning=_collapse(found["precision"].value, found["recall"].value))
        expected: dict[str, float | None] = {"expected": expected_coverage(n, n, self.num_neighbours)}
        found["coverage"] = found["coverage"]._replace(diagnostics=expected)

        some = data.z[:COMPARED], samples.z[:COMPARED]
        margin = Margin.student(discrepancy_stderr(*some), len(some[0]) - 1)
        found["mmd"] = Found.within(squared_discrepancy(*some).item(), margin)
        p_value = permutation_p_value(*some, self.num_permutations)
        of_permutations = wilson_interval(p_value, self.num_permutations + 1)
        found["mmd_p_value"] = Found(p_value, computing_interval=of_permutations, limits=SHARE)
        for quantity, is_right in (
            ("c2st_linear", linear_accuracy(data.z, samples.z)),
            ("c2st_neighbour", neighbour_accuracy(data.z, samples.z)),
        ):
            by_chance = binom.sf(is_right.sum().item() - 1, len(is_right), 0.5)
            diagnostics = {"p_value": float(by_chance)}
            found[quantity] = Found.share(is_right.mean().item(), len(is_right), diagnostics=diagnostics)

        closest = radii(data.z, 1).quantile(CLOSE)
        is_close = (radii(samples.z, 1) <= closest).double()
        found["duplicates"] = Found.share(is_close.mean().item(), len(is_close) / 2)  # they come in pairs
        return found | (self._classes(data.x, samples.x, features) if features.classify else {})

    def _manifolds(self, data: Tensor, samples: Tensor) -> dict[str, Found]:
        """Precision, recall, density and coverage, whose errors are of samples and data both.

        They are by blocks. Where those are all alike, the scatter over the examples of one kind is the least.
        """
        k = self.num_neighbours

        def means(x: Tensor, y: Tensor) -> Tensor:
            return torch.stack([values.mean() for values in manifolds(x, y, k)])

        errors = block_stderr(means, data, samples, BLOCK_NEIGHBOURS * k)
        found = {}
        for i, (quantity, values) in enumerate(manifolds(data, samples, k)._asdict().items()):
            value, of_one_kind = mean_and_stderr(values)
            if errors is None:
                found[quantity] = Found(value)
                continue
            stderrs, freedom = errors
            margin = Margin.student(max(stderrs[i].item(), of_one_kind or 0.0), freedom)
            if quantity == "density":
                found[quantity] = Found.within(value, margin, low=0.0)
                continue
            low, high = wilson_interval(value, len(values))
            margin = Margin(max(margin.below, value - low), max(margin.above, high - value))
            found[quantity] = Found.within(value, margin, 0.0, 1.0)
        return found

    def _classes(self, data: Tensor, samples: Tensor, features: Features) -> dict[str, Found]:
        """How the samples fall into classes: sharply or not, and as often as data or not.

        Errors are linearised. Those of the shares among samples are none in the score, in the first order.
        """
        p, q = features.probabilities(samples), features.probabilities(data)
        among_data, among_samples = q.mean(0), p.mean(0)
        relative = ((p.clamp(min=1e-12).log() - among_samples.clamp(min=1e-12).log()) * p).sum(1)
        log_score, stderr = mean_and_stderr(relative)
        margin = Margin.student(stderr or 0.0, len(p) - 1)
        score = math.exp(log_score)
        low, high = margin.around(log_score)
        of_score = math.exp(low), math.exp(high)
        log_ratio = (among_samples.clamp(min=1e-12) / among_data.clamp(min=1e-12)).log()
        apart = (among_samples * log_ratio).sum()
        moved = (p @ log_ratio).var() / len(p) + (q @ log_ratio.exp()).var() / len(q)
        of_kl = _interval_of_square(apart.clamp(min=0).item(), Margin.student(moved.sqrt().item()).above)
        forgotten = (among_samples < FORGOTTEN * among_data).nonzero().flatten().tolist()
        warning = f"collapse: there are next to no samples of class {', '.join(map(str, forgotten))}"
        shares = {f"class_{k}": share for k, share in enumerate(among_samples.tolist())}
        return {
            "classifier_score": Found(score, width_as_stderr(of_score), interval=of_score),
            "class_kl": Found(
                apart.item(), width_as_stderr(of_kl), "nats", shares, warning if forgotten else None, of_kl
            ),
        }


def _nearest_train(samples: Seen, train: Known) -> dict[str, Found]:
    return {"nearest_train": Found(*mean_and_stderr(nearest(samples.z, train.z)[0]))}


def _interval_of_square(value: float, half: float) -> tuple[float, float]:
    """Interval of a number that is near zero as a square is: of its root, which is nearer to a normal one."""
    root = math.sqrt(value)
    around = half / (2 * root) if root > 0 else math.sqrt(half)
    return max(0.0, root - around) ** 2, (root + around) ** 2


def _collapse(precision: float, recall: float) -> str | None:
    if recall >= COLLAPSED or precision < recall:
        return None
    return f"collapse: only {recall:.1%} of the data lie among the samples"


def _some(n: int, num: int, device: torch.device) -> Tensor:
    return torch.randperm(n)[:num].to(device)
