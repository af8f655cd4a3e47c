"""How often labels are told wrongly from a few labelled examples."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.bootstrap import bootstrap_stderr
from dgm_run.estimators.labels.calibration import calibration_interval
from dgm_run.estimators.labels.classifiers import MOST, Machines
from dgm_run.estimators.labels.selective_prediction import area_under_risk, calibration_error, risk_at, risks
from dgm_run.estimators.proportions import PERCENT, SHARE, bounded_interval, estimate_proportion, width_as_stderr
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.plots import curves

ROWS = 1000
"""Examples at a time."""
MEANS = 100
"""Examples at a time whose posterior means are asked for."""


@dataclass(frozen=True)
class LatentClassification(Estimator[LatentVariableModel]):
    """Errors, in per cent, of machines fitted to the labelled training examples: to x itself, and to the mean of
    q(z | x), which makes of a model that knows no labels the M1 of Kingma et al. 2014.

    Args:
        on_pixels, on_latents: the machines, once `fitted`.
    """

    on_pixels: Machines | None = None
    on_latents: Machines | None = None

    requires = {"model": LatentVariableModel}

    def check(self, model: LatentVariableModel, data: LoadedDataset) -> None:
        _refuse_without_classes(data)

    @torch.no_grad()
    def fit(
        self, model: LatentVariableModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "LatentClassification":
        x, y = labelled(train)
        return replace(self, on_pixels=Machines.of(x, y), on_latents=Machines.of(_means(model, x), y))

    @torch.no_grad()
    def __call__(
        self, model: LatentVariableModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        assert self.on_pixels is not None
        assert self.on_latents is not None
        x, y = _with_labels(data)
        z = _means(model, x)
        found = [error(f"error_{name}_of_z", wrong, "m1") for name, wrong in self.on_latents.wrong(z, y).items()]
        return found + [error(f"error_{name}", wrong, "baseline") for name, wrong in self.on_pixels.wrong(x, y).items()]


@dataclass(frozen=True)
class Classification(Estimator[JointModel]):
    """Error of argmax q(y | x), and of argmax p(x, y) with p(x, y) by importance sampling, in per cent.

    Beside them those of machines fitted to the labelled training examples; and what error is left where the tenth of
    the decisions is declined that is least sure, by q(y | x) or by p(x), or over all such shares in the mean. What
    p(x, y) is of M1 + M2 is one of what M1 infers.

    Args:
        num_samples: of z for each example and class, for p(x, y).
        max_batch_rows: decoder rows at a time.
        machines: the others, once `fitted`.
        seen: risks by the score that they were declined by, once called.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int
    machines: Machines | None = None
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
        return replace(self, machines=Machines.of(*labelled(train)), seen={})

    @torch.no_grad()
    def __call__(self, model: JointModel, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:

        def find(x: Tensor) -> dict[str, Tensor]:
            seen = model.observe(x)
            sure, told = model.classify(seen).max(1)
            log_joint = model.log_joint(seen, self.num_samples).double()  # (K, B)
            told_jointly, density = log_joint.argmax(0), log_joint.logsumexp(0)
            return {"sure": sure, "told": told, "told_jointly": told_jointly, "density": density}

        rows = data.map_batches(max(1, min(100, self.max_batch_rows // model.num_classes)), find, report)
        x, y = _with_labels(data)
        rows = {name: values[data.labelled] for name, values in rows.items()}
        wrong, wrong_jointly = ((rows[told] != y).double().cpu() for told in ("told", "told_jointly"))
        sure, density = rows["sure"].exp().double().cpu(), rows["density"].cpu()
        self.seen.update({"q(y|x)": risks(sure, wrong), "p(x)": risks(density, wrong)})
        assert self.machines is not None
        others = self.machines.wrong(x, y)
        return [
            error("error", wrong, "q(y|x)"),
            replace(error("error_joint", wrong_jointly, "p(x,y)"), settings={"num_samples": self.num_samples}),
            *_declined(sure, wrong, "q(y|x)"),
            *_declined(density, wrong, "p(x)"),
            _calibration(sure, wrong, "q(y|x)"),
            *(error(f"error_{name}", wrong, "baseline") for name, wrong in others.items()),
        ]

    def plots(self) -> dict[str, np.ndarray]:
        """What is wrong of the decisions that are made, against how many are, by what the others are declined by."""
        lines = {}
        for name, values in self.seen.items():
            coverage = torch.arange(1, len(values) + 1) / len(values)
            lines[f"declined by {name}"] = (coverage, 100 * values)
        return {"risk_coverage": curves(lines, "share of the decisions that are made", "error, %")}


def _refuse_without_classes(data: LoadedDataset) -> None:
    why, y = None, data.train.y
    if data.dataset.num_classes is None:
        why = "the data have no labels to tell"
    elif len(data.test.labelled) == 0:
        why = "no test example has a label"
    elif y is not None and len(y[data.train.labelled].unique()) == 1:
        why = "all training labels are the same, so that there is nothing to tell"
    if why:
        raise ConfigError(f"estimators: {why}: choose a dataset that has several, or drop this estimator")


def _declined(score: Tensor, wrong: Tensor, by: str) -> list[Estimate]:
    """What remains wrong of q(y | x) where decisions with a small score are declined.

    The intervals are of all examples that could have been drawn; the score below which decisions are declined is drawn
    with them.
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
    """The risk of the examples at an index."""
    return lambda index: risk(score[index], wrong[index])


def _calibration(sure: Tensor, wrong: Tensor, by: str) -> Estimate:
    """The calibration error, with an interval that knows of its bias.

    Of N examples it is too high, most where the truth is zero, and the interval reaches further down than up.
    """
    value, interval = calibration_error(sure, 1 - wrong), calibration_interval(sure, 1 - wrong)
    stderr = width_as_stderr(interval) if interval else None
    return Estimate("calibration_error", by, "estimate", value, stderr, len(wrong), "", interval=interval, limits=SHARE)


def _means(model: LatentVariableModel, x: Tensor) -> Tensor:
    """Of q(z | x); few at a time: some know it by many draws only."""
    return torch.cat([model.infer(rows).mean for rows in x.split(MEANS)])


def _with_labels(data: DataSplit) -> tuple[Tensor, Tensor]:
    """The examples that have labels, and these."""
    blocks = [data.batch(index) for index in data.labelled.split(ROWS)]
    assert data.y is not None
    return torch.cat(blocks), data.y[data.labelled]


def labelled(train: DataSplit) -> tuple[Tensor, Tensor]:
    """Examples and labels that training may use; a random part where there are very many."""
    chosen = train.labelled[torch.randperm(len(train.labelled))[:MOST].to(train.labelled.device)]
    assert train.y is not None
    return train.batch(chosen), train.y[chosen]


def error(quantity: str, wrong: Tensor, estimator: str) -> Estimate:
    """In per cent, of whether each example was told wrongly, (N,).

    The interval is of the examples that could have been drawn, given the model and the classifiers as they were fitted.
    """
    return estimate_proportion(wrong, quantity, estimator, PERCENT)
