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
from dgm_run.estimators.labels.selective_prediction import (
    area_under_risk_curve,
    calibration_error,
    compute_risks,
    risk_at_coverage,
)
from dgm_run.estimators.proportions import PERCENT, SHARE_LIMITS, bounded_interval, estimate_proportion, width_as_stderr
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.plots import plot_curves

BATCH_SIZE = 1000
"""Examples at a time."""
MEAN_BATCH_SIZE = 100
"""Examples at a time for the posterior means: some posteriors estimate a mean by many draws."""


@dataclass(frozen=True)
class LatentClassification(Estimator[LatentVariableModel]):
    """Error rates, in per cent, of classifiers fitted to the labelled training examples.

    Their inputs are x itself, or the mean of q(z | x), as in the model M1.

    Source: D. P. Kingma et al., Semi-supervised learning with deep generative models, 2014,
    https://arxiv.org/abs/1406.5298 (M1).

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
            *(estimate_error(f"error_{name}_of_z", each, "m1") for name, each in on_latents.items()),
            *(estimate_error(f"error_{name}", each, "baseline") for name, each in on_pixels.items()),
        ]


@dataclass(frozen=True)
class Classification(Estimator[JointModel]):
    """Error rates of argmax q(y | x), and of argmax p(x, y) with p(x, y) by importance sampling, in per cent.

    Further rows state the error rates of baseline classifiers, fitted to the labelled training examples. Others state
    the error of selective prediction, which declines decisions by q(y | x) or by p(x). One declines the least certain
    tenth, one is the mean over all coverages. In M1 + M2 the features that M1 infers take the place of x in p(x, y).

    Args:
        num_samples: number of samples of z for each example and class, for p(x, y).
        max_batch_rows: decoder rows at a time.
        baselines: the classifiers for comparison, after `fit`.
        risk_curves: risks at each coverage, (N,), by the name of the certainty that declines decisions, after a call.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int
    baselines: Classifiers | None = None
    risk_curves: dict[str, Tensor] = field(default_factory=dict)

    requires = {"model": JointModel}

    def __post_init__(self):
        self.require_positive("num_samples", "max_batch_rows")

    def check(self, model: JointModel, data: LoadedDataset) -> None:
        _refuse_without_classes(data)

    def fit(
        self, model: JointModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Classification":
        return replace(self, baselines=Classifiers.fit(*draw_labelled(train)), risk_curves={})

    @torch.no_grad()
    def __call__(self, model: JointModel, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:

        def classify(x: Tensor) -> dict[str, Tensor]:
            observation = model.observe(x)
            log_confidence, label = model.classify(observation).max(1)
            log_joint = model.log_joint(observation, self.num_samples).double()  # (C, B)
            return {
                "log_confidence": log_confidence,
                "label": label,
                "joint_label": log_joint.argmax(0),
                "density": log_joint.logsumexp(0),
            }

        columns = data.map_batches(max(1, min(100, self.max_batch_rows // model.num_classes)), classify, report)
        x, y = _select_labelled(data)
        columns = {name: values[data.labelled] for name, values in columns.items()}
        is_wrong = (columns["label"] != y).double().cpu()
        is_wrong_jointly = (columns["joint_label"] != y).double().cpu()
        confidence = columns["log_confidence"].exp().double().cpu()
        density = columns["density"].cpu()
        self.risk_curves.update(
            {"q(y|x)": compute_risks(confidence, is_wrong), "p(x)": compute_risks(density, is_wrong)}
        )
        by_joint = estimate_error("error_joint", is_wrong_jointly, "p(x,y)")
        assert self.baselines is not None
        mistakes = self.baselines.find_mistakes(x, y)
        return [
            estimate_error("error", is_wrong, "q(y|x)"),
            replace(by_joint, settings={"num_samples": self.num_samples}),
            *_estimate_selective_error(confidence, is_wrong, "q(y|x)"),
            *_estimate_selective_error(density, is_wrong, "p(x)"),
            _estimate_calibration(confidence, is_wrong, "q(y|x)"),
            *(estimate_error(f"error_{name}", each, "baseline") for name, each in mistakes.items()),
        ]

    def plots(self) -> dict[str, np.ndarray]:
        """Draws risk against coverage, one curve for each measure of certainty."""
        lines = {}
        for name, values in self.risk_curves.items():
            coverage = torch.arange(1, len(values) + 1) / len(values)
            lines[f"declined by {name}"] = (coverage, 100 * values)
        return {"risk_coverage": plot_curves(lines, "share of the decisions that are made", "error, %")}


def _refuse_without_classes(data: LoadedDataset) -> None:
    y = data.train.y
    problem = None
    if data.dataset.num_classes is None:
        problem = "the data have no labels"
    elif len(data.test.labelled) == 0:
        problem = "no test example has a label"
    elif y is not None and len(y[data.train.labelled].unique()) == 1:
        problem = "all training labels are the same"
    if problem:
        raise ConfigError(f"estimators: {problem}: choose a dataset with several classes, or drop this estimator")


def _estimate_selective_error(certainty: Tensor, is_wrong: Tensor, estimator: str) -> list[Estimate]:
    """Estimates the error rates of q(y | x) where the least certain decisions are declined; certainties are (N,)."""
    return [
        _estimate_risk("error_at_90_percent", partial(risk_at_coverage, coverage=0.9), certainty, is_wrong, estimator),
        _estimate_risk("error_over_coverages", area_under_risk_curve, certainty, is_wrong, estimator),
    ]


def _estimate_risk(
    quantity: str, risk: Callable[[Tensor, Tensor], float], certainty: Tensor, is_wrong: Tensor, estimator: str
) -> Estimate:
    """Estimates a risk in per cent, with an interval over the population of examples.

    The bootstrap resamples certainties and mistakes together, and with them the threshold below which decisions are
    declined.
    """
    value = risk(certainty, is_wrong)
    stderr = bootstrap_stderr(lambda index: risk(certainty[index], is_wrong[index]), len(is_wrong))
    low, high = bounded_interval(value, stderr, len(is_wrong), len(is_wrong))
    interval = (100 * low, 100 * high)
    return Estimate(
        quantity=quantity,
        estimator=estimator,
        kind="estimate",
        value=100 * value,
        stderr=width_as_stderr(interval),
        num_examples=len(is_wrong),
        unit=PERCENT,
        interval=interval,
        limits=(0.0, 100.0),
    )


def _estimate_calibration(confidence: Tensor, is_wrong: Tensor, estimator: str) -> Estimate:
    """Estimates the calibration error, with an interval that allows for its bias.

    The error over N examples is too high on average, most where the true error is zero. So the interval reaches further
    down than up.
    """
    value = calibration_error(confidence, 1 - is_wrong)
    interval = calibration_interval(confidence, 1 - is_wrong)
    stderr = width_as_stderr(interval) if interval else None
    return Estimate(
        "calibration_error",
        estimator,
        "estimate",
        value,
        stderr,
        len(is_wrong),
        "",
        interval=interval,
        limits=SHARE_LIMITS,
    )


def _posterior_means(model: LatentVariableModel, x: Tensor) -> Tensor:
    """Returns the means of q(z | x), (N, L)."""
    return torch.cat([model.infer(rows).mean for rows in x.split(MEAN_BATCH_SIZE)])


def _select_labelled(data: DataSplit) -> tuple[Tensor, Tensor]:
    """Returns the examples that have labels, (N, *shape), and their labels, (N,)."""
    blocks = [data.batch(index) for index in data.labelled.split(BATCH_SIZE)]
    assert data.y is not None
    return torch.cat(blocks), data.y[data.labelled]


def draw_labelled(train: DataSplit) -> tuple[Tensor, Tensor]:
    """Draws at most `MAX_EXAMPLES` labelled training examples; returns (N, *shape) and their labels, (N,)."""
    chosen = train.labelled[torch.randperm(len(train.labelled))[:MAX_EXAMPLES].to(train.labelled.device)]
    assert train.y is not None
    return train.batch(chosen), train.y[chosen]


def estimate_error(quantity: str, is_wrong: Tensor, estimator: str) -> Estimate:
    """Estimates an error rate in per cent from 1 for each wrong label and 0 for each right one, (N,).

    The interval is over the population of examples, given the fitted model and classifiers.
    """
    return estimate_proportion(is_wrong, quantity, estimator, PERCENT)
