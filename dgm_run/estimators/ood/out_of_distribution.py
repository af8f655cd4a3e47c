"""Detection of out-of-distribution data: AUROC of scores that separate test data from other data.

Sources: E. Nalisnick et al., Do deep generative models know what they don't know?, 2019,
https://arxiv.org/abs/1810.09136, and Detecting out-of-distribution inputs to deep generative models using typicality,
2019, https://arxiv.org/abs/1906.02994; J. Ren et al., Likelihood ratios for out-of-distribution detection, 2019,
https://arxiv.org/abs/1906.02845; J. Serra et al., Input complexity and out-of-distribution detection with
likelihood-based generative models, 2020, https://arxiv.org/abs/1909.11480; E. DeLong, D. DeLong, D. Clarke-Pearson,
Comparing the areas under two or more correlated receiver operating characteristic curves, 1988 (the standard error).
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.ood.transforms import TRANSFORMS, is_binary
from dgm_run.estimators.proportions import SHARE_LIMITS, bounded_interval, width_as_stderr
from dgm_run.models.base import ExactModel, HasLogWeights, LatentVariableModel, log_mean_exp
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.image_grid import is_image
from dgm_run.recording.plots import plot_histograms

MIN_VARIANCE = 1e-4
"""Smallest variance of a pixel in the background model."""
GOOD_AUROC = 0.7
"""AUROC above which a warning recommends a score."""
CHANCE_AUROC = 0.5
"""AUROC of chance; below it the likelihood prefers the other data."""


class Background(NamedTuple):
    """Background model: independent pixels fitted to training data with some pixels replaced by noise.

    Attributes:
        mean: mean of each pixel, (D,).
        variance: variance of each pixel, (D,); None where pixels are binary.
    """

    mean: Tensor
    variance: Tensor | None

    @classmethod
    def fit(cls, x: Tensor, share: float) -> "Background":
        """Fits the pixels to the moments of images (N, *shape) in which noise replaces a share of the pixels."""
        x = x.flatten(1).double()
        mean = (1 - share) * x.mean(0) + share / 2
        if is_binary(x):
            return cls(mean.clamp(1e-4, 1 - 1e-4), None)
        square = (1 - share) * x.square().mean(0) + share / 3  # 1/3: the mean square of a uniform pixel
        return cls(mean, (square - mean.square()).clamp(min=MIN_VARIANCE))

    def log_prob(self, x: Tensor) -> Tensor:
        """Returns log p(x), (N, *shape) -> (N,), nats."""
        x = x.flatten(1).double()
        if self.variance is None:
            return x @ self.mean.log() + (1 - x) @ (1 - self.mean).log()
        squares = (x - self.mean).square() / self.variance
        return -0.5 * (squares + (2 * math.pi * self.variance).log()).sum(1)


@dataclass(frozen=True)
class OutOfDistribution(Estimator[nn.Module]):
    """Area under the ROC curve (AUROC) of several scores, with test data as the positive class.

    - `log_likelihood`: log p(x), of energy models up to a constant.
    - `typicality`: minus the distance of log p(x) from its mean over training data.
    - `likelihood_ratio`: log p(x) less that of independent pixels fitted to noisy training data.
    - `complexity`: log p(x) plus the compressed size of x in nats.
    - `joint`: max_y log p(x, y), of models of labels.

    Args:
        transforms: transforms of the test data by name; see estimators/ood/transforms.py.
        dataset: another data set, whose test examples are binarised or dequantised like those of the run; null for
            none.
        num_examples: number of examples of each set, drawn at random; fewer where there are fewer.
        num_samples: number of samples for each log p(x) without a closed form.
        max_batch_rows: examples, times samples, at a time.
        mutation_rate: share of the pixels that noise replaces for the background model.
        background: the background model, after `fit`.
        typical: mean log p(x) of training data, after `fit`.
        shown: training examples for the pictures, (8, *shape), after `fit`.
        log_densities: log p(x) of every set by its name, (N,) each, after a call.

    Raises:
        ValueError: a number is out of its range, or a transform is unknown.
    """

    transforms: Sequence[str]
    dataset: Dataset | None
    num_examples: int
    num_samples: int
    max_batch_rows: int
    mutation_rate: float
    background: Background | None = None
    typical: float | None = None
    shown: Tensor | None = None
    log_densities: dict[str, Tensor] = field(default_factory=dict)

    takes = ("binary", "levels", "continuous")

    def __post_init__(self):
        unknown = [name for name in self.transforms if name not in TRANSFORMS]
        if unknown:
            raise ValueError(f"transforms: unknown {', '.join(unknown)}; choose from {', '.join(TRANSFORMS)}")
        self.require_positive("num_examples", "num_samples", "max_batch_rows")
        if not 0 <= self.mutation_rate < 1:
            raise ValueError(f"mutation_rate = {self.mutation_rate} must lie in [0, 1)")

    def check(self, model: nn.Module, data: LoadedDataset) -> None:
        if not isinstance(model, ExactModel) and not isinstance(model, HasLogWeights):
            raise ConfigError(
                f"estimators.out_of_distribution: {type(model).__name__} has no likelihood: leave the estimator out"
            )
        if not is_image(tuple(data.dataset.shape)) or data.dataset.num_levels is None:
            raise ConfigError(
                "estimators.out_of_distribution: the transforms need images of grey levels: choose such a dataset, or "
                "leave the estimator out"
            )
        if self.dataset:
            assert isinstance(data.dataset, Dataset)  # images are of this class
            self._check_other(self.dataset, data.dataset)

    def for_other_data(self, data: LoadedDataset) -> "OutOfDistribution":
        raise ConfigError(
            "estimators.out_of_distribution: it compares the data of the run with others, and takes no other data in "
            "their place: choose others, as in estimators=[importance_sampling]"
        )

    def _check_other(self, other: Dataset, own: Dataset) -> None:
        """Prepares the other data set like the run's own, and refuses one that does not fit.

        Raises:
            ConfigError: its examples have another shape or kind.
        """
        key = "estimators.out_of_distribution.dataset"
        if tuple(other.shape) != tuple(own.shape):
            raise ConfigError(
                f"{key}: its examples are {list(other.shape)}, not {list(own.shape)}: choose one of the shape of the "
                "run's data"
            )
        if other.num_levels is None:
            raise ConfigError(f"{key}: it has real values: choose one of grey levels or binary pixels")
        other.adopt_protocol(own)
        if other.kind != own.kind:
            raise ConfigError(
                f"{key}: its data are {other.kind}, not {own.kind}: binarise both by dataset.binarize, or choose "
                "another"
            )
        process_group.main_process_first(other.load)  # unreadable data fail before the training

    @torch.no_grad()
    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "OutOfDistribution":
        x = self._draw(train)
        typical = self._log_density(model, x, report).mean().item()
        return replace(
            self, background=Background.fit(x, self.mutation_rate), typical=typical, shown=x[:8], log_densities={}
        )

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        test_x = self._draw(data)
        others = {name: TRANSFORMS[name](test_x) for name in self.transforms}
        if self.dataset:
            others[self.dataset.name] = self._draw(self.dataset.load(data.x.device).test).to(test_x)
        num_sets = len(others) + 1

        def report_set(index: int) -> ProgressCallback:
            return lambda done, total: report(index * total + done, num_sets * total)

        test_scores = self._compute_scores(model, test_x, report_set(0))
        self.log_densities["test data"] = test_scores["log_likelihood"]
        estimates = []
        for index, (name, x) in enumerate(others.items(), 1):
            scores = self._compute_scores(model, x, report_set(index))
            self.log_densities[name] = scores["log_likelihood"]
            estimates += self._estimate_aurocs(name, test_scores, scores)
        return estimates

    def _estimate_aurocs(
        self, name: str, test_scores: dict[str, Tensor], other_scores: dict[str, Tensor]
    ) -> list[Estimate]:
        """Estimates the AUROC of each score between test data, (N,), and the set `name`, (M,)."""
        aurocs = {score: auroc(test_scores[score], values) for score, values in other_scores.items()}
        estimates = []
        for score, value in aurocs.items():
            test_score = test_scores[score]
            other_score = other_scores[score]
            diagnostics: dict[str, float | None] = {
                "average_precision": average_precision(test_score, other_score),
                "false_positives_at_95": false_positive_rate(test_score, other_score, 0.95),
                "mean": other_score.mean().item(),
                "mean_of_data": test_score.mean().item(),
            }
            stderr = auroc_stderr(test_score, other_score, is_paired=name in self.transforms)
            interval = bounded_interval(value, stderr, min(len(test_score), len(other_score)))
            has_failed = score == "log_likelihood" and interval[1] < CHANCE_AUROC
            estimate = Estimate(
                quantity=f"auroc_{name}",
                estimator=score,
                kind="estimate",
                value=value,
                stderr=width_as_stderr(interval),
                num_examples=len(other_score),
                unit="",
                settings={"num_samples": self.num_samples, "mutation_rate": self.mutation_rate},
                diagnostics=diagnostics,
                warning=_describe_failure(aurocs, other_score, test_score) if has_failed else None,
                interval=interval,
                limits=SHARE_LIMITS,
            )
            estimates.append(estimate)
        return estimates

    def pictures(self, model: nn.Module) -> dict[str, Tensor]:
        """Returns a row of training examples, and below it a row of each transform of them."""
        assert self.shown is not None
        rows = [self.shown, *(TRANSFORMS[name](self.shown) for name in self.transforms)]
        return {"out_of_distribution": torch.cat(rows)}

    def row_labels(self) -> dict[str, list[str]]:
        return {"out_of_distribution": ["training", *self.transforms]}

    def plots(self) -> dict[str, np.ndarray]:
        """Draws histograms of log p(x) of test data and of the other sets."""
        return {"log_likelihoods": plot_histograms(self.log_densities, "log p(x), nats")}

    def _draw(self, data: DataSplit) -> Tensor:
        return data.batch(torch.randperm(len(data))[: self.num_examples].to(data.x.device))

    def _compute_scores(self, model: nn.Module, x: Tensor, report: ProgressCallback) -> dict[str, Tensor]:
        """Computes the scores by name, (N,) each; data should have larger scores than other examples."""
        assert self.typical is not None
        assert self.background is not None
        log_p = self._log_density(model, x, report)
        scores = {
            "log_likelihood": log_p,
            "typicality": -(log_p - self.typical).abs(),
            "likelihood_ratio": log_p - self.background.log_prob(x).to(log_p),
            "complexity": log_p + measure_complexity(x).to(log_p),
        }
        if isinstance(model, JointModel):
            scores["joint"] = self._log_joint(model, x)
        return {name: values.cpu() for name, values in scores.items()}

    def _log_density(self, model: nn.Module, x: Tensor, report: ProgressCallback) -> Tensor:
        """Computes log p(x), exactly or from importance samples, (N, *shape) -> (N,), nats, float64."""

        def evaluate(block: slice) -> dict[str, Tensor]:
            if isinstance(model, ExactModel):
                return {"log_p": model.log_prob(x[block]).double()}
            return {"log_p": log_mean_exp(self._log_weights(model, x[block]).double()).double()}

        samples_per_example = 1 if isinstance(model, ExactModel) else self.num_samples
        block_size = max(1, self.max_batch_rows // samples_per_example)
        return process_group.map_blocks(len(x), block_size, evaluate, report)["log_p"]

    def _log_weights(self, model: nn.Module, x: Tensor) -> Tensor:
        if isinstance(model, LatentVariableModel):  # a posterior without a density has a proposal with one
            return model.evaluate_terms(x, model.infer(x).proposal(), model.latent_prior(), self.num_samples).log_w
        assert isinstance(model, HasLogWeights)
        return model.log_weights(x, self.num_samples)

    def _log_joint(self, model: JointModel, x: Tensor) -> Tensor:
        """Computes max_y log p(x, y), (N,)."""

        def evaluate(block: slice) -> dict[str, Tensor]:
            return {"log_p": model.log_joint(model.observe(x[block]), self.num_samples).double().amax(0)}

        block_size = max(1, self.max_batch_rows // model.num_classes)
        return process_group.map_blocks(len(x), block_size, evaluate, no_progress)["log_p"]


def _describe_failure(aurocs: dict[str, float], log_p_other: Tensor, log_p_test: Tensor) -> str:
    """Warns that the likelihood prefers the other data, and names a score that detects them."""
    best = max(aurocs, key=lambda score: aurocs[score])
    means = f"{log_p_other.mean().item():.1f} against {log_p_test.mean().item():.1f} nats"
    other = f"{best} does ({aurocs[best]:.2f})" if aurocs[best] > GOOD_AUROC else "nor does another score"
    return f"likelier than data ({means}): the likelihood alone does not detect it; {other}"


def measure_complexity(x: Tensor) -> Tensor:
    """Returns the size of each example compressed by zlib, nats: (N, *shape) -> (N,).

    Grey levels have 8 bits before the compression, binary pixels one.
    """
    flat = x.flatten(1).cpu()
    if is_binary(flat):
        rows = np.packbits(flat.bool().numpy(), axis=1)
    else:
        rows = (255 * flat.clamp(0, 1)).round().byte().numpy()
    return torch.tensor([8 * math.log(2) * len(zlib.compress(row.tobytes(), 9)) for row in rows], dtype=torch.float64)


def auroc(data: Tensor, other: Tensor) -> float:
    """Returns the share of pairs whose data point has the larger score, ties by half: (N,), (M,)."""
    return _share_below(data, other).mean().item()


def auroc_stderr(data: Tensor, other: Tensor, is_paired: bool) -> float | None:
    """Estimates the standard error of an AUROC after DeLong; None for single examples.

    Args:
        data, other: scores, (N,) and (M,).
        is_paired: whether each other example is a transform of the data point in its place.
    """
    if min(len(data), len(other)) < 2:
        return None
    wins_of_data = _share_below(data, other)  # (N,), share of the other examples with a smaller score
    losses_of_other = 1 - _share_below(other, data)  # (M,), share of the data with a larger score
    if is_paired:
        return ((wins_of_data + losses_of_other).std() / math.sqrt(len(data))).item()
    return torch.sqrt(wins_of_data.var() / len(data) + losses_of_other.var() / len(other)).item()


def _share_below(x: Tensor, others: Tensor) -> Tensor:
    """Returns the share of the others that each element exceeds, ties by half: (N,), (M,) -> (N,)."""
    ranks_among_all = _mean_ranks(torch.cat([x, others]))[: len(x)]
    ranks_within_x = _mean_ranks(x)
    return (ranks_among_all - ranks_within_x) / len(others)


def _mean_ranks(x: Tensor) -> Tensor:
    """Returns the rank of each element, from 1, and the mean rank for ties: (N,) -> (N,)."""
    values, index = x.unique(return_inverse=True)
    counts = torch.bincount(index, minlength=len(values)).double()
    return (counts.cumsum(0) - (counts - 1) / 2)[index]


def average_precision(data: Tensor, other: Tensor) -> float:
    """Returns the area under the precision-recall curve, with data as the positive class."""
    from sklearn.metrics import average_precision_score  # costs a second

    truth = torch.cat([torch.ones(len(data)), torch.zeros(len(other))])
    return float(average_precision_score(truth.numpy(), torch.cat([data, other]).numpy()))


def false_positive_rate(data: Tensor, other: Tensor, recall: float) -> float:
    """Returns the share of other examples above the threshold that a share `recall` of the data exceeds."""
    threshold = data.sort().values[math.floor((1 - recall) * len(data))]
    return (other >= threshold).double().mean().item()
