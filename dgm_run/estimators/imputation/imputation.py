"""Imputation of corrupted test examples: missing elements and noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.columns import find_kind
from dgm_run.data.corruptions import Corruption, Missing, MissingValues
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.standardize import Standardization
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, Kind, ProgressCallback, no_progress
from dgm_run.estimators.imputation.hidden_elements import HiddenElements
from dgm_run.estimators.imputation.imputer import Imputations, Imputer
from dgm_run.estimators.imputation.table_errors import HiddenCells, TableReference
from dgm_run.models.base import ExactModel
from dgm_run.models.corrupted import CorruptedModel, get_complete_model
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.recording.image_grid import fill_missing_with_grey, is_image

BATCH_SIZE = 50
"""Examples at a time."""
NUM_NEIGHBOURS = 10_000
"""Number of training examples that the nearest neighbour is searched among."""
NUM_SHOWN = 8
"""Number of examples in the pictures."""
OWN_CORRUPTION = "as_given"
"""Name of the corruption that the data already have, beside the names of the others."""


class BaselineData(NamedTuple):
    """Training data of the baselines, the mean and the nearest neighbour.

    Attributes:
        mean: mean of every element over the examples where it is observed, (*shape).
        x: examples, (N, *shape), with these means in the place of missing elements.
        table: constants of the training rows of a table with columns of several kinds; None for other data.
    """

    mean: Tensor
    x: Tensor
    table: TableReference | None = None


@dataclass(frozen=True)
class Imputation(Estimator[nn.Module]):
    """Mean squared error of E[x | x~] over the target elements, by every method that supports the model.

    Two baselines have rows of their own: the mean of the training data, and the training example nearest in the
    observed elements. The diagnostics hold the error of single draws, about twice as large if the model is right. For
    real values they hold the coverage of an interval of the draws, for binary values cross-entropy and F1.

    A table with columns of several kinds has an error for each kind (`table_errors.py`), and one baseline, the mean or
    the most frequent value of each column.

    The examples and their target elements depend on the data alone, so that all models impute the same. The intervals
    are over the population of examples, for this number of draws. Fewer draws worsen the mean, which no interval shows.

    Args:
        corruptions: corruptions by name. Data corrupted by `dataset/corrupt` are imputed as they are, without these.
            Vectors skip the corruptions of image regions.
        methods: imputers by name.
        num_examples: number of test examples, drawn at random; fewer where there are fewer.
        num_draws: number of draws of each example.
        num_table_draws: number of draws of each row of a table with columns of several kinds; the most frequent one
            fills the cell of a category.
        baseline: training data of the baselines, after `fit`.
        shown: rows of pictures by their labels, by corruption, after a call.

    Raises:
        ValueError: a number is not positive.
    """

    corruptions: Mapping[str, Corruption]
    methods: Mapping[str, Imputer]
    num_examples: int
    num_draws: int
    num_table_draws: int
    baseline: BaselineData | None = None
    shown: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    takes_corrupted = True

    takes = ("binary", "levels", "continuous", "mixed")

    def __post_init__(self):
        if self.num_examples < 1 or min(self.num_draws, self.num_table_draws) < 2:
            raise ValueError("num_examples must be positive, and num_draws and num_table_draws at least two")
        self._check_steps("num_draws", self.num_draws)

    def _check_steps(self, key: str, num_draws: int) -> None:
        """Refuses more draws than a method can give."""
        for name, method in self.methods.items():
            if num_draws > method.max_draws:
                raise ValueError(
                    f"{key} = {num_draws} exceeds the {method.max_draws} steps of {name} after its burn-in: "
                    f"raise methods.{name}.num_steps"
                )

    def check(self, model: nn.Module, data: LoadedDataset) -> None:
        kind = data.dataset.kind
        if kind == "mixed":
            try:
                self._check_steps("num_table_draws", self.num_table_draws)
            except ValueError as error:
                raise ConfigError(f"estimators.imputation.{error}") from None
        corruptions = self._select_corruptions(data.test)
        if not corruptions:
            raise ConfigError(
                "estimators.imputation.corruptions: all of them need images, and the data are vectors: "
                "add missing_at_random"
            )
        for name, corrupt in corruptions.items():
            if kind not in corrupt.takes:
                raise ConfigError(
                    f"estimators.imputation.corruptions.{name}: {type(corrupt).__name__} takes "
                    f"{' or '.join(corrupt.takes)} data, and these are {kind}: leave it out by "
                    f"'~estimators.imputation.corruptions.{name}'"
                )
            if not self._select_methods(model, corrupt):
                raise ConfigError(
                    f"estimators.imputation: no method imputes {name} with {type(model).__name__}: choose a "
                    "latent-variable model with independent pixels given z, or an energy model and missing elements"
                )

    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Imputation":
        x = train.batch(torch.randperm(len(train))[:NUM_NEIGHBOURS].to(train.x.device))
        x = x if train.corrupt is None else train.corrupt.observed(x)
        if train.columns and find_kind(train.columns) == "mixed":
            table = TableReference.fit(x, train.columns)
            return replace(self, baseline=BaselineData(table.guess, x, table), shown={})
        mean = x.nanmean(0).nan_to_num(0.5)
        mean = mean if train.corrupt is None else train.corrupt.debiased_mean(mean)
        return replace(self, baseline=BaselineData(mean, torch.where(x.isnan(), mean, x)), shown={})

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        index = torch.randperm(len(data), generator=_new_generator("examples"))[: self.num_examples].to(data.x.device)
        truth = data.uncorrupted.batch(index)
        given = data.batch(index)
        corruptions = self._select_corruptions(data)
        estimates = []
        for i, (name, corrupt) in enumerate(corruptions.items()):
            x_tilde = given if name == OWN_CORRUPTION else corrupt(truth, _new_generator(name))

            def report_block(done: int, total: int, before: int = i * len(truth)) -> None:
                report(before + done, len(corruptions) * len(truth))

            estimates += self._impute(model, name, corrupt, truth, x_tilde, report_block, data.standardization)
        return estimates

    def pictures(self, model: nn.Module) -> dict[str, Tensor]:
        """Returns rows for each corruption: examples, corrupted examples, and a mean and a draw by each method."""
        return {
            f"imputed_{name}": torch.cat(list(rows.values()))
            for name, rows in self.shown.items()
            if is_image(rows["example"].shape[1:])
        }

    def row_labels(self) -> dict[str, list[str]]:
        return {f"imputed_{name}": list(rows) for name, rows in self.shown.items()}

    def _select_corruptions(self, data: DataSplit) -> Mapping[str, Corruption]:
        if data.corrupt and not isinstance(data.corrupt, MissingValues):
            return {OWN_CORRUPTION: data.corrupt}
        # missing values of the data have no known truth, so that others stand beside them
        own = {OWN_CORRUPTION: data.corrupt} if data.corrupt else {}
        return own | {
            name: corrupt for name, corrupt in self.corruptions.items() if _is_applicable(corrupt, data.x.shape[1:])
        }

    def _select_methods(self, model: nn.Module, corrupt: Corruption) -> dict[str, Imputer]:
        """Returns the methods that support a model, given whether it was trained on complete examples."""
        is_trained_on_corrupted = isinstance(model, CorruptedModel) and not isinstance(model, ExactModel)
        return {
            name: each
            for name, each in self.methods.items()
            if not (is_trained_on_corrupted and each.encodes_complete)
            and each.supports(get_complete_model(model), corrupt)
        }

    def _impute(
        self, model: nn.Module, name: str, corrupt: Corruption, truth: Tensor, x_tilde: Tensor,
        report: ProgressCallback, standardization: Standardization | None,
    ) -> list[Estimate]:  # fmt: skip
        """Imputes one corruption by every method and every baseline; returns the rows of their errors and log p(x~)."""
        methods = self._select_methods(model, corrupt)
        complete = get_complete_model(model)
        assert self.baseline is not None
        num_draws = self.num_table_draws if self.baseline.table else self.num_draws

        def impute(block: slice) -> dict[str, Tensor]:
            rows: dict[str, Tensor] = {}
            for method, imputer in methods.items():
                rows |= _to_rows(method, imputer(complete, x_tilde[block], corrupt, num_draws))
            return rows

        rows = process_group.map_blocks(len(x_tilde), BATCH_SIZE, impute, report)
        imputed = {method: _from_rows(method, rows) for method in methods}

        self.shown[name] = _label_rows(truth, x_tilde, imputed)

        is_target = corrupt.target_mask(x_tilde) & ~truth.isnan()
        if not bool(is_target.any()):
            return []  # the random corruption has left all elements as they are
        estimates = []
        hidden: HiddenElements | HiddenCells = HiddenElements(name, truth, is_target, standardization is not None)
        if self.baseline.table:
            hidden = HiddenCells(name, truth, is_target, self.baseline.table)
        corruption = {name: str(corrupt) if name == OWN_CORRUPTION else corrupt.settings}
        for method, each in imputed.items():
            settings = corruption | {"num_draws": num_draws} | methods[method].settings
            medians = _take_medians(each)
            warning = self._describe_doubt(model, medians)
            estimates += hidden.estimate_errors(method, each.mean, each.draws, settings, medians, warning)
            if each.log_p is not None:
                log_p = each.log_p.cpu()
                if standardization:
                    log_p = log_p + standardization.log_det(x_tilde.isnan())
                kind: Kind = "exact" if methods[method].is_exact else "estimate"
                more: dict[str, Any] = {"settings": settings, "diagnostics": medians, "warning": warning}
                estimates.append(Estimate.over(log_p, f"log_likelihood_seen_{name}", method, kind, **more))
        for method, guess in self._impute_by_baselines(corrupt, x_tilde).items():
            estimates += hidden.estimate_errors(method, guess, None, corruption, {}, None)
        return estimates

    def _describe_doubt(self, model: nn.Module, diagnostics: dict[str, float]) -> str | None:
        """Warns where few importance samples carry the weight; returns None otherwise."""
        if diagnostics.get("ess_median", math.inf) >= 2:
            return None
        if isinstance(model, CorruptedModel):
            return "single draws carry the weight: raise methods.importance_sampling.num_samples"
        if isinstance(model, DensityNetwork):
            return "single draws of the prior carry the weight, also of the chains: the model has no q(z | x)"
        return "single draws of a q(z | x) trained on complete examples carry the weight: trust the chains"

    def _impute_by_baselines(self, corrupt: Corruption, x_tilde: Tensor) -> dict[str, Tensor]:
        """Returns the guesses of x by each baseline, (B, *shape); noisy data are also a guess of themselves."""
        observed = corrupt.observed(x_tilde)
        assert self.baseline is not None
        mean, x, table = self.baseline
        if table:
            return {"mean_or_mode": mean.expand_as(x_tilde)}
        guesses = {"mean": mean.expand_as(x_tilde), "nearest_neighbour": self._find_neighbour(observed, x)}
        if corrupt.has_true_observations:
            guesses = {name: torch.where(observed.isnan(), guess, observed) for name, guess in guesses.items()}
        return guesses if isinstance(corrupt, Missing) else {"as_seen": x_tilde} | guesses

    def _find_neighbour(self, observed: Tensor, x: Tensor) -> Tensor:
        """Returns the training example nearest in the observed elements, for each example, (B, *shape)."""
        weight = (~observed.isnan()).to(x).flatten(1)  # (B, D)
        value = observed.nan_to_num(0.0).flatten(1)
        rows = x.flatten(1)
        squares = weight @ rows.square().T - 2 * value @ rows.T  # up to a constant of each example
        return x[squares.argmin(1)]


def _label_rows(truth: Tensor, x_tilde: Tensor, imputed: Mapping[str, Imputations]) -> dict[str, Tensor]:
    """Returns the first examples and their imputations as rows of a picture, by the labels of the rows."""
    rows = {"example": truth[:NUM_SHOWN], "given": fill_missing_with_grey(x_tilde[:NUM_SHOWN])}
    for method, each in imputed.items():
        rows |= {f"{method}, mean": each.mean[:NUM_SHOWN], f"{method}, draw": each.draws[0, :NUM_SHOWN]}
    return rows


def _is_applicable(corrupt: Corruption, shape: Sequence[int]) -> bool:
    """Returns whether a corruption accepts this shape: regions need images."""
    try:
        corrupt.check(shape)
    except ValueError:
        return False
    return True


def _take_medians(each: Imputations) -> dict[str, float]:
    return {f"{name}_median": values.median().item() for name, values in each.diagnostics.items()}


def _new_generator(purpose: str) -> torch.Generator:
    """Returns a generator that gives the same numbers in every run."""
    return torch.Generator().manual_seed(rng.key(0, f"imputation {purpose}"))


def _to_rows(method: str, each: Imputations) -> dict[str, Tensor]:
    """Splits the imputations of a method into tensors (B, ...) by name, which `map_blocks` concatenates."""
    rows = {"mean": each.mean, "draws": each.draws.movedim(0, 1)} | each.diagnostics
    return {f"{method} {name}": row for name, row in rows.items()} | (
        {} if each.log_p is None else {f"{method} log_p": each.log_p}
    )


def _from_rows(method: str, rows: Mapping[str, Tensor]) -> Imputations:
    """Joins the tensors of a method, as `_to_rows` names them, into its imputations."""
    own = {name.removeprefix(f"{method} "): row for name, row in rows.items() if name.startswith(f"{method} ")}
    return Imputations(own.pop("mean"), own.pop("draws").movedim(1, 0), own.pop("log_p", None), own)
