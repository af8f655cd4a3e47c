"""Error rates of classification from a few labelled examples."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.bootstrap import bootstrap_stderr
from dgm_run.estimators.labels.calibration import calibration_interval
from dgm_run.estimators.labels.classifiers import MAX_EXAMPLES, Classifiers
from dgm_run.estimators.labels.selective_prediction import area_under_risk, calibration_error, risk_at, risks
from dgm_run.estimators.proportions import PERCENT, SHARE, bounded_interval, estimate_proportion, width_as_stderr
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.plots import curves

ROWS = 1000
"""Examples at a time."""
MEAN_ROWS = 100
"""Examples at a time for the posterior means: some posteriors estimate a mean by many draws."""


@dataclass(frozen=True)
class LatentClassification(Estimator[LatentVariableModel]):
    """Error rates, in per cent, of classifiers fitted to the labelled training examples.

    They see x itself, or the mean of q(z | x). The latter makes a model without labels the M1 of Kingma et al. 2014.

    Args:
        on_pixels, on_latents: the classifiers, after `fit`.
    """

    on_pixels: Classifiers | None = None
    on_latents: Classifiers | None = None

    requires = {"model": LatentVariableModel}

    def check(self, model: LatentVariableModel, data: LoadedDataset) -> None:
        _refuse_without_classes(data)

    @torch.no_grad()
    def fit(
        self, model: LatentVariableModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "LatentClassification":
        x, y = draw_labelled(train)
        on_latents = Classifiers.fit(_posterior_means(model, x), y)
        return replace(self, on_pixels=Classifiers.fit(x, y), on_latents=on_latents)

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        assert self.on_pixels is not None
        assert self.on_latents is not None
        x, y = _select_labelled(data)
        on_latents = self.on_latents.find_mistakes(_posterior_means(model, x), y)
        on_pixels = self.on_pixels.find_mistakes(x, y)
        return [
            *(estimate_error(f"error_{name}_of_z", wrong, "m1") for name, wrong in on_latents.items()),
            *(estimate_error(f"error_{name}", wrong, "baseline") for name, wrong in on_pixels.items()),
        ]


@dataclass(frozen=True)
class Classification(Estimator[JointModel]):
    """Error rates of argmax q(y | x), and of argmax p(x, y) with p(x, y) by importance sampling, in per cent.

    Beside them stand the error rates of classifiers fitted to the labelled training examples. Other rows state the
    error of selective prediction by q(y | x) or by p(x). One declines the least certain tenth of the decisions, one is
    the mean over all coverages. In M1 + M2, the x of p(x, y) is the latent that M1 infers.

    Args:
        num_samples: number of samples of z for each example and class, for p(x, y).
        max_batch_rows: decoder rows at a time.
        baselines: the classifiers for comparison, after `fit`.
        seen: risks at each coverage by the score, after a call.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int
    baselines: Classifiers | None = None
    seen: dict[str, Tensor] = field(default_factory=dict)

    requires = {"model": JointModel}

    def __post_init__(self):
        if min(self.num_samples, self.max_batch_rows) < 1:
            raise ValueError("num_samples and max_batch_rows must be positive")

    def check(self, model: JointModel, data: LoadedDataset) -> None:
        _refuse_without_classes(data)

    def fit(
        self, model: JointModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Classification":
        return replace(self, baselines=Classifiers.fit(*draw_labelled(train)), seen={})

    @torch.no_grad()
    def __call__(self, model: JointModel, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:

        def find(x: Tensor) -> dict[str, Tensor]:
            seen = model.observe(x)
            log_confidence, label = model.classify(seen).max(1)
            log_joint = model.log_joint(seen, self.num_samples).double()  # (K, B)
            return {
                "log_confidence": log_confidence,
                "label": label,
                "joint_label": log_joint.argmax(0),
                "density": log_joint.logsumexp(0),
            }

        rows = data.map_batches(max(1, min(100, self.max_batch_rows // model.num_classes)), find, report)
        x, y = _select_labelled(data)
        rows = {name: values[data.labelled] for name, values in rows.items()}
        is_wrong = (rows["label"] != y).double().cpu()
        is_wrong_jointly = (rows["joint_label"] != y).double().cpu()
        confidence = rows["log_confidence"].exp().double().cpu()
        density = rows["density"].cpu()
        self.seen.update({"q(y|x)": risks(confidence, is_wrong), "p(x)": risks(density, is_wrong)})
        by_joint = estimate_error("error_joint", is_wrong_jointly, "p(x,y)")
        assert self.baselines is not None
        mistakes = self.baselines.find_mistakes(x, y)
        return [
            estimate_error("error", is_wrong, "q(y|x)"),
            replace(by_joint, settings={"num_samples": self.num_samples}),
            *_estimate_selective_error(confidence, is_wrong, "q(y|x)"),
            *_estimate_selective_error(density, is_wrong, "p(x)"),
            _estimate_calibration(confidence, is_wrong, "q(y|x)"),
            *(estimate_error(f"error_{name}", wrong, "baseline") for name, wrong in mistakes.items()),
        ]

    def plots(self) -> dict[str, np.ndarray]:
        """Draws risk against coverage, one curve for each score that declines decisions."""
        lines = {}
        for name, values in self.seen.items():
            coverage = torch.arange(1, len(values) + 1) / len(values)
            lines[f"declined by {name}"] = (coverage, 100 * values)
        return {"risk_coverage": curves(lines, "share of the decisions that are made", "error, %")}


def _refuse_without_classes(data: LoadedDataset) -> None:
    why, y = None, data.train.y
    if data.dataset.num_classes is None:
        why = "the data have no labels"
    elif len(data.test.labelled) == 0:
        why = "no test example has a label"
    elif y is not None and len(y[data.train.labelled].unique()) == 1:
        why = "all training labels are the same"
    if why:
        raise ConfigError(f"estimators: {why}: choose a dataset with several classes, or drop this estimator")


def _estimate_selective_error(score: Tensor, wrong: Tensor, by: str) -> list[Estimate]:
    """Estimates the error rate of q(y | x) where decisions with a small score are declined.

    The intervals are over the population of examples; the threshold of the score is part of what is resampled.
    """
    found = {}
    for name, risk in (
        ("error_at_90_percent", partial(risk_at, coverage=0.9)),
        ("error_over_coverages", area_under_risk),
    ):
        value = risk(score, wrong)
        stderr = bootstrap_stderr(_resample(risk, score, wrong), len(wrong))
        low, high = bounded_interval(value, stderr, len(wrong), len(wrong))
        found[name] = 100 * value, (100 * low, 100 * high)
    return [
        Estimate(
            name,
            by,
            "estimate",
            value,
            width_as_stderr(interval),
            len(wrong),
            "%",
            interval=interval,
            limits=(0.0, 100.0),
        )
        for name, (value, interval) in found.items()
    ]


def _resample(
    risk: Callable[[Tensor, Tensor], float], score: Tensor, wrong: Tensor
) -> Callable[[Tensor], float]:  # fmt: skip
    """Returns the risk of the examples at an index, as a function of the index."""
    return lambda index: risk(score[index], wrong[index])


def _estimate_calibration(confidence: Tensor, wrong: Tensor, by: str) -> Estimate:
    """Estimates the calibration error, with an interval that allows for its bias.

    The error of N examples is too high, most where the truth is zero. So the interval reaches further down than up.
    """
    value = calibration_error(confidence, 1 - wrong)
    interval = calibration_interval(confidence, 1 - wrong)
    stderr = width_as_stderr(interval) if interval else None
    return Estimate("calibration_error", by, "estimate", value, stderr, len(wrong), "", interval=interval, limits=SHARE)


def _posterior_means(model: LatentVariableModel, x: Tensor) -> Tensor:
    """Returns the means of q(z | x), (N, L)."""
    return torch.cat([model.infer(rows).mean for rows in x.split(MEAN_ROWS)])


def _select_labelled(data: DataSplit) -> tuple[Tensor, Tensor]:
    """Returns the examples that have labels, and their labels."""
    blocks = [data.batch(index) for index in data.labelled.split(ROWS)]
    assert data.y is not None
    return torch.cat(blocks), data.y[data.labelled]


def draw_labelled(train: DataSplit) -> tuple[Tensor, Tensor]:
    """Draws at most `MAX_EXAMPLES` labelled training examples, and returns them with their labels."""
    chosen = train.labelled[torch.randperm(len(train.labelled))[:MAX_EXAMPLES].to(train.labelled.device)]
    assert train.y is not None
    return train.batch(chosen), train.y[chosen]


def estimate_error(quantity: str, wrong: Tensor, estimator: str) -> Estimate:
    """Estimates an error rate in per cent from 1 for each wrong label and 0 for each right one, (N,).

    The interval is over the population of examples, given the fitted model and classifiers.
    """
    return estimate_proportion(wrong, quantity, estimator, PERCENT)
