"""Distances between samples of a model and held-out data, with training data as the reference."""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, get_args

import torch
from scipy.stats import binom
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import Limits, Margin, clip_interval, mean_and_stderr
from dgm_run.estimators.proportions import SHARE_LIMITS, width_as_stderr, wilson_interval
from dgm_run.estimators.samples.blocks import block_stderr
from dgm_run.estimators.samples.features import FeatureKind, Features, fit_features
from dgm_run.estimators.samples.frechet import frechet_distance
from dgm_run.estimators.samples.kernel import (
    cubic_distances,
    cubic_stderr,
    mmd_stderr,
    permutation_p_value,
    squared_mmd,
)
from dgm_run.estimators.samples.network_file import check_network, describe_network, is_network_name
from dgm_run.estimators.samples.precision_recall import (
    compute_radii,
    expected_coverage,
    find_nearest,
    measure_precision_recall,
)
from dgm_run.estimators.samples.two_sample import linear_hits, neighbour_hits
from dgm_run.models.base import GenerativeModel, LatentVariableModel
from dgm_run.recording.image_grid import interleave_rows

BATCH_SIZE = 1000
"""Samples at a time."""
MAX_PERMUTED = 2000
"""Largest number of examples of each kind for the permutation test, which holds all distances at once."""
DUPLICATE_QUANTILE = 0.01
"""Quantile of the nearest-neighbour distances of data below which two samples count as duplicates."""
MAX_FROM_DISK = 20_000
"""Largest number of training examples from the disk, which may not all fit into memory."""
BLOCK_NEIGHBOURS = 12
"""Smallest size of a block for the errors of precision and recall, as a multiple of the number of neighbours."""
NUM_SHOWN = 32
MIN_RECALL = 0.05
"""Recall below which samples that look like data have collapsed."""
MIN_RELATIVE_SHARE = 0.1
"""Share of a class among samples over that among data, below which a warning names the class."""


class TrainReference(NamedTuple):
    """Training examples with their features.

    Attributes:
        features: the map of examples to features.
        x: the training examples, (N, *shape).
        z: their features, (N, D).
    """

    features: Features
    x: Tensor
    z: Tensor


class FeatureBatch(NamedTuple):
    """Examples, (n, *shape), and their features, (n, D)."""

    x: Tensor
    z: Tensor


class Metric(NamedTuple):
    """Distance of two samples, or another number about both, as the fields of an `Estimate`."""

    value: float
    stderr: float | None = None
    unit: str = ""
    diagnostics: dict[str, float | None] = {}
    warning: str | None = None
    interval: tuple[float, float] | None = None
    computing_interval: tuple[float, float] | None = None
    limits: Limits | None = None

    @classmethod
    def from_share(cls, value: float, num: float, **more: Any) -> "Metric":
        """Returns a share among `num` independent trials."""
        interval = wilson_interval(value, num)
        return cls(value, width_as_stderr(interval), interval=interval, limits=SHARE_LIMITS, **more)

    @classmethod
    def from_margin(cls, value: float, margin: Margin, low: float | None = None, high: float | None = None) -> "Metric":
        """Returns a number with this margin, whose interval ends at the limits `low` and `high`."""
        interval = clip_interval(margin.around(value), (low, high))
        return cls(value, width_as_stderr(interval), interval=interval, limits=(low, high))


def _choose_train_index(train: DataSplit) -> Tensor:
    """Returns positions of all training examples, or of an evenly spaced part if they stay on the disk."""
    num = len(train) if train.disk is None else min(len(train), MAX_FROM_DISK)
    return torch.linspace(0, len(train) - 1, num, dtype=torch.float64).round().long().to(train.x.device)


@dataclass(frozen=True)
class SampleQuality(Estimator[GenerativeModel]):
    """Distances between samples of the model and held-out data, by features of the examples.

    Each row states its train reference: the same distance with training examples in place of samples, which a perfect
    model reaches. All subsets are random and of one size, because most of these numbers depend on the size. None of the
    numbers is a likelihood, and one alone says little: the mean image has a precision of one.

    The intervals cover the mean over all samples and held-out data of this size, given the training data and the
    features. The Frechet distance has no interval: its bias, which falls as 1 / N, mostly exceeds its scatter. The
    accuracies are those of the fitted classifiers. The interval of the p-value covers the error of the permutations
    alone.

    Args:
        num_samples: number of samples, of training and of held-out examples; fewer where there are fewer.
        features: classifier (trained in place, on the labels) | random (the same network, untrained) | pca | pixels |
            the file of a network, for images: .pt or .ts (TorchScript), or .onnx.
        feature_seed: seed of the network, which all compared runs share.
        num_neighbours: k of precision, recall, density and coverage.
        num_permutations: number of permutations of the test of the discrepancy.
        means: whether samples are the means of p(x | z), without its noise.
        reference: training examples and features, after `fit`.

    Raises:
        ValueError: a number is not positive, or the features are unknown.
    """

    num_samples: int
    features: FeatureKind | str
    feature_seed: int
    num_neighbours: int
    num_permutations: int
    means: bool
    reference: TrainReference | None = None

    takes = ("binary", "levels", "continuous")

    def __post_init__(self):
        self.require_positive("num_samples", "num_neighbours", "num_permutations")
        if self.features not in get_args(FeatureKind) and not is_network_name(self.features):
            kinds = ", ".join(get_args(FeatureKind))
            raise ValueError(f"features = {self.features}: choose {kinds}, or a network in a file .pt, .ts or .onnx")

    def check(self, model: GenerativeModel, data: LoadedDataset) -> None:
        key = "estimators.sample_quality"
        if self.features == "classifier" and data.train.y is None:
            raise ConfigError(f"{key}.features: {data.dataset.name} has no labels: set {key}.features=random")
        if is_network_name(self.features):
            check_network(self.features, data)
        if self.means and not isinstance(model, LatentVariableModel):
            raise ConfigError(f"{key}.means: {type(model).__name__} has no p(x | z): set {key}.means=false")
        n = min(self.num_samples, len(data.train), len(data.test))
        if n < 2 * self.num_neighbours:
            raise ConfigError(
                f"{key}: {n} examples are too few for num_neighbours={self.num_neighbours}: set "
                f"{key}.num_neighbours={max(1, n // 2)}, or take more examples"
            )

    def fit(
        self, model: GenerativeModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "SampleQuality":
        index = _choose_train_index(train)
        x = train.batch(index)
        features = fit_features(self.features, train, self.feature_seed, report, index)
        return replace(self, reference=TrainReference(features, x, features(x)))

    @torch.no_grad()
    def __call__(
        self, model: GenerativeModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        assert self.reference is not None
        train = self.reference
        features = train.features
        n = min(self.num_samples, len(data), len(train.x))
        blocks = []
        for first in range(0, n, BATCH_SIZE):
            blocks.append(self._draw(model, min(BATCH_SIZE, n - first)))
            report(first + len(blocks[-1]), 2 * n)
        x = torch.cat(blocks)
        samples = FeatureBatch(x, features(x))
        test_index = _draw_index(len(data), n, x.device)
        test_x = data.batch(test_index)
        held_out = FeatureBatch(test_x, features(test_x))
        train_index = _draw_index(len(train.x), n, x.device)
        train_part = FeatureBatch(train.x[train_index], train.z[train_index])

        references = self._compare(held_out, train_part, features) | _measure_nearest_train(held_out, train)
        report(3, 4)
        metrics = self._compare(held_out, samples, features) | _measure_nearest_train(samples, train)
        report(1, 1)

        settings = self._describe_settings(n, samples.z.shape[1])
        if features.classify:
            assert data.y is not None
            y = data.y[test_index]
            is_right = (features.probabilities(held_out.x).argmax(1) == y)[y >= 0].double()
            metrics["cfid"] = metrics["cfid"]._replace(diagnostics={"classifier_accuracy": is_right.mean().item()})
        return [
            Estimate(
                quantity=name,
                estimator="sample_quality",
                kind="estimate",
                num_examples=n,
                settings=settings,
                train_reference=references[name].value,
                **metric._asdict(),
            )
            for name, metric in metrics.items()
        ]

    def _describe_settings(self, num_samples: int, dim: int) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "num_samples": num_samples,
            "features": self.features,
            "dim": dim,
            "k": self.num_neighbours,
        }
        if self.features in ("classifier", "random"):
            settings["feature_seed"] = self.feature_seed
        if is_network_name(self.features):
            settings |= describe_network(self.features)
        if self.means:
            settings["means"] = True
        return settings

    @torch.no_grad()
    def pictures(self, model: GenerativeModel) -> dict[str, Tensor]:
        """Returns samples, and below each the training example nearest in the features."""
        assert self.reference is not None
        samples = self._draw(model, NUM_SHOWN)
        _, index = find_nearest(self.reference.features(samples), self.reference.z)
        return {"nearest_neighbours": interleave_rows(samples, self.reference.x[index], columns=8)}

    def _draw(self, model: GenerativeModel, n: int) -> Tensor:
        """Draws samples, or means of p(x | z), (n, *shape)."""
        if self.means:
            assert isinstance(model, LatentVariableModel)
            return model.generate(n).mean
        return model.sample(n)

    def _compare(self, data: FeatureBatch, samples: FeatureBatch, features: Features) -> dict[str, Metric]:
        """Computes all distances between data and samples, by name."""
        n = len(data.z)
        name = "cfid" if self.features == "classifier" else f"frechet_{self.features}"
        name = "frechet_own" if is_network_name(self.features) else name
        metrics = {name: Metric(frechet_distance(data.z, samples.z))}
        margin = Margin.student(cubic_stderr(data.z, samples.z), n - 1)
        metrics["kid"] = Metric.from_margin(cubic_distances(data.z, samples.z).mean().item(), margin)
        metrics |= self._measure_precision_recall(data.z, samples.z)
        warning = _describe_collapse(metrics["precision"].value, metrics["recall"].value)
        metrics["recall"] = metrics["recall"]._replace(warning=warning)
        expected: dict[str, float | None] = {"expected": expected_coverage(n, n, self.num_neighbours)}
        metrics["coverage"] = metrics["coverage"]._replace(diagnostics=expected)

        parts = (data.z[:MAX_PERMUTED], samples.z[:MAX_PERMUTED])
        margin = Margin.student(mmd_stderr(*parts), len(parts[0]) - 1)
        metrics["mmd"] = Metric.from_margin(squared_mmd(*parts).item(), margin)
        p_value = permutation_p_value(*parts, self.num_permutations)
        permutation_interval = wilson_interval(p_value, self.num_permutations + 1)
        metrics["mmd_p_value"] = Metric(p_value, computing_interval=permutation_interval, limits=SHARE_LIMITS)
        for quantity, is_right in (
            ("c2st_linear", linear_hits(data.z, samples.z)),
            ("c2st_neighbour", neighbour_hits(data.z, samples.z)),
        ):
            p_value = binom.sf(is_right.sum().item() - 1, len(is_right), 0.5)
            diagnostics = {"p_value": float(p_value)}
            metrics[quantity] = Metric.from_share(is_right.mean().item(), len(is_right), diagnostics=diagnostics)

        max_distance = compute_radii(data.z, 1).quantile(DUPLICATE_QUANTILE)
        is_close = (compute_radii(samples.z, 1) <= max_distance).double()
        metrics["duplicates"] = Metric.from_share(is_close.mean().item(), len(is_close) / 2)  # they come in pairs
        return metrics | (self._compare_classes(data.x, samples.x, features) if features.classify else {})

    def _measure_precision_recall(self, data: Tensor, samples: Tensor) -> dict[str, Metric]:
        """Measures precision, recall, density and coverage; the errors include the choice of samples and of data.

        The errors come from blocks. The scatter over the examples of one kind is their lower bound.
        """
        k = self.num_neighbours

        def means(x: Tensor, y: Tensor) -> Tensor:
            return torch.stack([values.mean() for values in measure_precision_recall(x, y, k)])

        errors = block_stderr(means, data, samples, BLOCK_NEIGHBOURS * k)
        metrics = {}
        for i, (quantity, values) in enumerate(measure_precision_recall(data, samples, k)._asdict().items()):
            value, stderr_of_one_kind = mean_and_stderr(values)
            if errors is None:
                metrics[quantity] = Metric(value)
                continue
            stderrs, freedom = errors
            margin = Margin.student(max(stderrs[i].item(), stderr_of_one_kind or 0.0), freedom)
            if quantity == "density":
                metrics[quantity] = Metric.from_margin(value, margin, low=0.0)
                continue
            low, high = wilson_interval(value, len(values))
            margin = Margin(max(margin.below, value - low), max(margin.above, high - value))
            metrics[quantity] = Metric.from_margin(value, margin, 0.0, 1.0)
        return metrics

    def _compare_classes(self, data: Tensor, samples: Tensor, features: Features) -> dict[str, Metric]:
        """Compares the predicted classes: the classifier score, and the KL of class shares from those of the data.

        Errors are linearised. To first order the error of the shares among samples adds nothing to the score.
        """
        p = features.probabilities(samples)  # (N, C)
        q = features.probabilities(data)  # (N, C)
        sample_shares = p.mean(0)  # (C,)
        data_shares = q.mean(0)  # (C,)

        kl_from_shares = ((p.clamp(min=1e-12).log() - sample_shares.clamp(min=1e-12).log()) * p).sum(1)  # (N,)
        log_score, stderr = mean_and_stderr(kl_from_shares)
        low, high = Margin.student(stderr or 0.0, len(p) - 1).around(log_score)
        score_interval = (math.exp(low), math.exp(high))

        log_ratio = (sample_shares.clamp(min=1e-12) / data_shares.clamp(min=1e-12)).log()
        kl = (sample_shares * log_ratio).sum()
        kl_variance = (p @ log_ratio).var() / len(p) + (q @ log_ratio.exp()).var() / len(q)
        kl_interval = _interval_of_square(kl.clamp(min=0).item(), Margin.student(kl_variance.sqrt().item()).above)

        rare = (sample_shares < MIN_RELATIVE_SHARE * data_shares).nonzero().flatten().tolist()
        warning = f"collapse: there are next to no samples of class {', '.join(map(str, rare))}" if rare else None
        return {
            "classifier_score": Metric(math.exp(log_score), width_as_stderr(score_interval), interval=score_interval),
            "class_kl": Metric(
                kl.item(),
                width_as_stderr(kl_interval),
                unit="nats",
                diagnostics={f"class_{k}": share for k, share in enumerate(sample_shares.tolist())},
                warning=warning,
                interval=kl_interval,
            ),
        }


def _measure_nearest_train(samples: FeatureBatch, train: TrainReference) -> dict[str, Metric]:
    return {"nearest_train": Metric(*mean_and_stderr(find_nearest(samples.z, train.z)[0]))}


def _interval_of_square(value: float, half: float) -> tuple[float, float]:
    """Returns the interval of a number that behaves like a square, through its root, which is closer to normal.

    Args:
        value: the number.
        half: half-width of a symmetric interval of it.
    """
    root = math.sqrt(value)
    root_half = half / (2 * root) if root > 0 else math.sqrt(half)
    return max(0.0, root - root_half) ** 2, (root + root_half) ** 2


def _describe_collapse(precision: float, recall: float) -> str | None:
    if recall >= MIN_RECALL or precision < recall:
        return None
    return f"collapse: only {recall:.1%} of the data lie among the samples"


def _draw_index(n: int, num: int, device: torch.device) -> Tensor:
    return torch.randperm(n)[:num].to(device)
