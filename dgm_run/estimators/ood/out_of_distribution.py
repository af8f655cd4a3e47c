"""Whether a model knows what it does not know: test data against what is not of their kind.

Sources: E. Nalisnick et al., Do deep generative models know what they don't know?, 2019,
https://arxiv.org/abs/1810.09136, and Detecting out-of-distribution inputs to deep generative models using typicality,
2019, https://arxiv.org/abs/1906.02994; J. Ren et al., Likelihood ratios for out-of-distribution detection, 2019,
https://arxiv.org/abs/1906.02845; J. Serra et al., Input complexity and out-of-distribution detection with
likelihood-based generative models, 2020, https://arxiv.org/abs/1909.11480; of the error of the area: E. DeLong,
D. DeLong, D. Clarke-Pearson, Comparing the areas under two or more correlated receiver operating characteristic curves,
1988.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dgm_run.data.dataset import Dataset, DataSplit, LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.ood.transforms import TRANSFORMS, is_binary
from dgm_run.estimators.proportions import SHARE, bounded_interval, width_as_stderr
from dgm_run.models.base import ExactModel, HasLogWeights, LatentVariableModel, log_mean_exp
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.image_grid import is_image
from dgm_run.recording.plots import histograms

MIN_VARIANCE = 1e-4
"""Of a pixel in the background model."""
TOLD = 0.7
"""Area above which a score is said to know them."""
BLIND = 0.5
"""Area below which the likelihood finds what is strange likelier than data."""


class Background(NamedTuple):
    """Independent pixels fitted to training data, some of whose pixels were replaced by noise.

    Attributes:
        mean: (D,).
        variance: (D,); None where pixels are binary.
    """

    mean: Tensor
    variance: Tensor | None

    @classmethod
    def of(cls, x: Tensor, share: float) -> "Background":
        x = x.flatten(1).double()
        mean = (1 - share) * x.mean(0) + share / 2
        if is_binary(x):
            return cls(mean.clamp(1e-4, 1 - 1e-4), None)
        square = (1 - share) * x.square().mean(0) + share / 3  # of a uniform pixel
        return cls(mean, (square - mean.square()).clamp(min=MIN_VARIANCE))

    def log_prob(self, x: Tensor) -> Tensor:
        """(N, *shape) -> (N,), nats."""
        x = x.flatten(1).double()
        if self.variance is None:
            return x @ self.mean.log() + (1 - x) @ (1 - self.mean).log()
        squares = (x - self.mean).square() / self.variance
        return -0.5 * (squares + (2 * math.pi * self.variance).log()).sum(1)


@dataclass(frozen=True)
class OutOfDistribution(Estimator[nn.Module]):
    """Area under the ROC curve of several scores, with test data as what is to be known again.

    `log_likelihood` is log p(x), of energy models up to a constant; `typicality` is how near it comes to the mean over
    training data; `likelihood_ratio` is it less that of independent pixels fitted to noisy training data; `complexity`
    is it plus the nats of x compressed; `joint`, of models of labels, max_y log p(x, y).

    Args:
        transforms: corruptions of the test data; see estimators/ood/transforms.py.
        dataset: another data set, whose test examples are asked for as well, binarised or dequantised as those of the
            run are; null for none.
        num_examples: of each set, drawn at random; fewer where there are fewer.
        num_samples: for each log p(x) that is not in closed form.
        max_batch_rows: examples, times samples, at a time.
        mutation_rate: share of the pixels that noise replaces for the background model.
        background, typical, shown: once `fitted`: that model, the mean log p(x) of training data, and some of them.
        seen: log p(x) of every set, once called.

    Raises:
        ValueError: a number is out of its range, or a corruption is not known.
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
    seen: dict[str, Tensor] = field(default_factory=dict)

    takes = ("binary", "levels", "continuous")

    def __post_init__(self):
        unknown = [name for name in self.transforms if name not in TRANSFORMS]
        if unknown:
            raise ValueError(f"transforms: there is no {', '.join(unknown)}; there are {', '.join(TRANSFORMS)}")
        if min(self.num_examples, self.num_samples, self.max_batch_rows) < 1 or not 0 <= self.mutation_rate < 1:
            raise ValueError(
                "num_examples, num_samples and max_batch_rows must be positive, and mutation_rate in [0, 1)"
            )

    def check(self, model: nn.Module, data: LoadedDataset) -> None:
        if not isinstance(model, ExactModel) and not isinstance(model, HasLogWeights):
            raise ConfigError(f"estimators.out_of_distribution: {type(model).__name__} has no likelihood")
        if not is_image(tuple(data.dataset.shape)) or data.dataset.num_levels is None:
            raise ConfigError("estimators.out_of_distribution: it corrupts images of grey levels, and these are none")
        if self.dataset and tuple(self.dataset.shape) != tuple(data.dataset.shape):
            shapes = [list(each.shape) for each in (self.dataset, data.dataset)]
            raise ConfigError(f"estimators.out_of_distribution.dataset: its examples are {shapes[0]}, not {shapes[1]}")
        if self.dataset and self.dataset.num_levels is None:
            raise ConfigError("estimators.out_of_distribution.dataset: it has real values, not grey levels")
        if self.dataset:
            assert isinstance(data.dataset, Dataset)  # of images
            self.dataset.adopt_protocol(data.dataset)
            if self.dataset.kind != data.dataset.kind:
                raise ConfigError(
                    f"estimators.out_of_distribution.dataset: its data are {self.dataset.kind}, "
                    f"not {data.dataset.kind}: binarise both by dataset.binarize, or choose another"
                )
            process_group.main_process_first(
                self.dataset.load
            )  # what it cannot read it tells now, not after the training

    @torch.no_grad()
    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "OutOfDistribution":
        x = self._some(train)
        typical = self._log_density(model, x, report).mean().item()
        return replace(self, background=Background.of(x, self.mutation_rate), typical=typical, shown=x[:8], seen={})

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        known = self._some(data)
        strange = {name: TRANSFORMS[name](known) for name in self.transforms}
        if self.dataset:
            strange[self.dataset.name] = self._some(self.dataset.load(data.x.device).test).to(known)
        total = len(strange) + 1

        def report_set(index: int) -> ProgressCallback:
            return lambda done, of: report(index * of + done, total * of)

        of_known, found = self._scores(model, known, report_set(0)), []
        self.seen["test data"] = of_known["log_likelihood"]
        settings = {"num_samples": self.num_samples, "mutation_rate": self.mutation_rate}
        for index, (name, x) in enumerate(strange.items(), 1):
            scores = self._scores(model, x, report_set(index))
            self.seen[name] = scores["log_likelihood"]
            areas = {score: area(of_known[score], values) for score, values in scores.items()}
            for score, value in areas.items():
                seen = {
                    "average_precision": average_precision(of_known[score], scores[score]),
                    "false_positives_at_95": false_positives(of_known[score], scores[score], 0.95),
                    "mean": scores[score].mean().item(),
                    "mean_of_data": of_known[score].mean().item(),
                }
                stderr = area_stderr(of_known[score], scores[score], name in self.transforms)
                interval = bounded_interval(value, stderr, min(len(known), len(x)))
                below = interval[1] < BLIND  # and not by chance
                blind = _blindness(areas, seen) if score == "log_likelihood" and below else None
                found.append(
                    Estimate(
                        f"auroc_{name}", score, "estimate", value, width_as_stderr(interval), len(x), "", settings,
                        {**seen}, blind, interval=interval, limits=SHARE,
                    )
                )  # fmt: skip
        return found

    def pictures(self, model: nn.Module) -> dict[str, Tensor]:
        """A row of training examples, and below it what each corruption makes of them."""
        assert self.shown is not None
        rows = [self.shown, *(TRANSFORMS[name](self.shown) for name in self.transforms)]
        return {"out_of_distribution": torch.cat(rows)}

    def plots(self) -> dict[str, np.ndarray]:
        """Histograms of log p(x), of test data and of what is not of their kind."""
        return {"log_likelihoods": histograms(self.seen, "log p(x), nats")}

    def _some(self, data: DataSplit) -> Tensor:
        return data.batch(torch.randperm(len(data))[: self.num_examples].to(data.x.device))

    def _scores(self, model: nn.Module, x: Tensor, report: ProgressCallback) -> dict[str, Tensor]:
        """Each (N,): the larger, the more like data."""
        assert self.typical is not None
        assert self.background is not None
        log_p = self._log_density(model, x, report)
        found = {
            "log_likelihood": log_p,
            "typicality": -(log_p - self.typical).abs(),
            "likelihood_ratio": log_p - self.background.log_prob(x).to(log_p),
            "complexity": log_p + compressed(x).to(log_p),
        }
        if isinstance(model, JointModel):
            found["joint"] = self._log_joint(model, x)
        return {name: values.cpu() for name, values in found.items()}

    def _log_density(self, model: nn.Module, x: Tensor, report: ProgressCallback) -> Tensor:
        exact = isinstance(model, ExactModel)

        def find(block: slice) -> dict[str, Tensor]:
            if isinstance(model, ExactModel):
                return {"log_p": model.log_prob(x[block]).double()}
            return {"log_p": log_mean_exp(self._log_weights(model, x[block]).double()).double()}

        rows = self.max_batch_rows if exact else max(1, self.max_batch_rows // self.num_samples)
        return process_group.map_blocks(len(x), rows, find, report)["log_p"]

    def _log_weights(self, model: nn.Module, x: Tensor) -> Tensor:
        if isinstance(model, LatentVariableModel):  # a posterior without a density has a proposal that has one
            return model.evaluate_terms(x, model.infer(x).proposal(), model.latent_prior(), self.num_samples).log_w
        assert isinstance(model, HasLogWeights)
        return model.log_weights(x, self.num_samples)

    def _log_joint(self, model: JointModel, x: Tensor) -> Tensor:
        """max_y log p(x, y)."""

        def find(block: slice) -> dict[str, Tensor]:
            return {"log_p": model.log_joint(model.observe(x[block]), self.num_samples).double().amax(0)}

        return process_group.map_blocks(len(x), max(1, self.max_batch_rows // model.num_classes), find, no_progress)[
            "log_p"
        ]


def _blindness(areas: dict[str, float], seen: dict[str, float]) -> str:
    """What is to be said where the likelihood prefers what is strange."""
    best = max(areas, key=lambda score: areas[score])
    means = f"{seen['mean']:.1f} against {seen['mean_of_data']:.1f} nats"
    other = f"{best} does ({areas[best]:.2f})" if areas[best] > TOLD else "nor does another score"
    return f"likelier than data ({means}): the likelihood alone does not know it; {other}"


def compressed(x: Tensor) -> Tensor:
    """Nats of each example as zlib leaves it, of 8-bit grey levels or of single bits: (N, *shape) -> (N,)."""
    flat = x.flatten(1).cpu()
    if is_binary(flat):
        import numpy as np

        rows = np.packbits(flat.bool().numpy(), axis=1)
    else:
        rows = (255 * flat.clamp(0, 1)).round().byte().numpy()
    return torch.tensor([8 * math.log(2) * len(zlib.compress(row.tobytes(), 9)) for row in rows], dtype=torch.float64)


def area(data: Tensor, strange: Tensor) -> float:
    """How often a data point has a larger score than a strange one, ties counted by half: of (N,) and (M,)."""
    return _shares_below(data, strange).mean().item()


def area_stderr(data: Tensor, strange: Tensor, is_paired: bool) -> float | None:
    """Standard error of an area after DeLong; None of single examples.

    Args:
        data, strange: scores, (N,) and (M,).
        is_paired: whether each strange example is made of the data point in its place, so that both are drawn together.
    """
    if min(len(data), len(strange)) < 2:
        return None
    of_data, of_strange = _shares_below(data, strange), 1 - _shares_below(strange, data)
    if is_paired:
        return ((of_data + of_strange).std() / math.sqrt(len(data))).item()
    return torch.sqrt(of_data.var() / len(data) + of_strange.var() / len(strange)).item()


def _shares_below(x: Tensor, others: Tensor) -> Tensor:
    """The share of others that each element exceeds, ties counted by half: of (N,) and (M,), (N,)."""
    among_all, among_own = _mean_ranks(torch.cat([x, others]))[: len(x)], _mean_ranks(x)
    return (among_all - among_own) / len(others)


def _mean_ranks(x: Tensor) -> Tensor:
    """The rank of each element from 1 on, the mean of ranks for ties, (N,)."""
    values, place = x.unique(return_inverse=True)
    counts = torch.bincount(place, minlength=len(values)).double()
    return (counts.cumsum(0) - (counts - 1) / 2)[place]


def average_precision(data: Tensor, strange: Tensor) -> float:
    """Area under precision against recall, data to be found."""
    from sklearn.metrics import average_precision_score  # costs a second

    truth = torch.cat([torch.ones(len(data)), torch.zeros(len(strange))])
    return float(average_precision_score(truth.numpy(), torch.cat([data, strange]).numpy()))


def false_positives(data: Tensor, strange: Tensor, share: float) -> float:
    """Share of the strange that are taken for data where this share of the data is."""
    threshold = data.sort().values[math.floor((1 - share) * len(data))]
    return (strange >= threshold).double().mean().item()
