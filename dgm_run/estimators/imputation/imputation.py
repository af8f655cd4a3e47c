"""What a model makes of examples with holes, or behind noise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.corruptions import Corruption, Missing, MissingValues
from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.data.standardize import Standardization
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, Kind, ProgressCallback, no_progress
from dgm_run.estimators.imputation.error_measures import Errors, binary_scores, interval, ranks_of_interval
from dgm_run.estimators.imputation.imputer import Imputed, Imputer
from dgm_run.models.base import ExactModel
from dgm_run.models.corrupted import Corrupted
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.recording.image_grid import grey_where_missing, is_image

BLOCK = 50
"""Examples at a time."""
NEIGHBOURS = 10_000
"""Training examples among which the nearest is looked for."""
SHOWN = 8
OWN = "as_given"
"""The name of the examples' own corruption among the sets."""


class Known(NamedTuple):
    """What the baselines know of training data.

    Attributes:
        mean: of every element over the examples where it is known, (*shape).
        x: examples, (N, *shape), those means where nothing is known.
    """

    mean: Tensor
    x: Tensor


@dataclass(frozen=True)
class Imputation(Estimator[nn.Module]):
    """The squared error of E[x | x~] over the elements to be restored, by every method that fits the model.

    Beside it stand two baselines: the mean of the training data, and the nearest training example, by what is known.
    In the diagnostics are the error of single draws, which is about twice as large where the model is right; of real
    values how many of the true ones an interval of the draws holds; of binary ones cross-entropy and F1.

    Which examples, and which of their elements, depends on nothing but the data: two models restore the same. The
    intervals are of all examples that could have been drawn, for this number of draws of each. Fewer draws make the
    mean worse, and no interval holds that.

    Args:
        corruptions: by name. Data that `dataset/corrupt` has corrupted are restored as they are, without these.
            Those of images are left out for vectors.
        methods: imputers by name.
        num_examples: of the test set, drawn at random; fewer where there are fewer.
        num_draws: of each example.
        baseline, shown: once `fitted`.

    Raises:
        ValueError: a number is not positive.
    """

    corruptions: Mapping[str, Corruption]
    methods: Mapping[str, Imputer]
    num_examples: int
    num_draws: int
    baseline: Known | None = None
    shown: dict[str, list[Tensor]] = field(default_factory=dict)

    takes_corrupted = True

    takes = ("binary", "levels", "continuous")

    def __post_init__(self):
        if self.num_examples < 1 or self.num_draws < 2:
            raise ValueError("num_examples must be positive, and num_draws at least two")
        for name, method in self.methods.items():
            if self.num_draws > method.max_draws:
                raise ValueError(
                    f"num_draws = {self.num_draws}, and the chain of {name} has {method.max_draws} steps that count: "
                    f"raise methods.{name}.num_steps"
                )

    def check(self, model: nn.Module, data: LoadedDataset) -> None:
        kind = data.dataset.kind
        sets = self._sets(data.test)
        if not sets:
            raise ConfigError("estimators.imputation.corruptions: they are all of images: add missing_at_random")
        for name, corrupt in sets.items():
            if kind not in corrupt.takes:
                raise ConfigError(
                    f"estimators.imputation.corruptions.{name}: {type(corrupt).__name__} takes "
                    f"{' or '.join(corrupt.takes)} data, and these are {kind}: leave it out by "
                    f"'~estimators.imputation.corruptions.{name}'"
                )
            if not self._fitting(model, corrupt):
                raise ConfigError(
                    f"estimators.imputation: no method restores {name} with {type(model).__name__}: choose "
                    "a latent-variable model whose decoder has independent pixels, or an energy model and holes"
                )

    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "Imputation":
        x = train.batch(torch.randperm(len(train))[:NEIGHBOURS].to(train.x.device))
        x = x if train.corrupt is None else train.corrupt.observed(x)
        mean = x.nanmean(0).nan_to_num(0.5)
        mean = mean if train.corrupt is None else train.corrupt.debiased_mean(mean)
        return replace(self, baseline=Known(mean, torch.where(x.isnan(), mean, x)), shown={})

    @torch.no_grad()
    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        index = torch.randperm(len(data), generator=_generator("examples"))[: self.num_examples].to(data.x.device)
        truth, given = data.uncorrupted.batch(index), data.batch(index)
        sets, found = self._sets(data), []
        for i, (name, corrupt) in enumerate(sets.items()):
            seen = given if name == OWN else corrupt(truth, _generator(name))

            def report_block(done: int, total: int, before: int = i * len(truth)) -> None:
                report(before + done, len(sets) * len(truth))

            found += self._restore(model, name, corrupt, truth, seen, report_block, data.standardization)
        return found

    def pictures(self, model: nn.Module) -> dict[str, Tensor]:
        """Of each set rows of examples, what is seen of them, and by each method the mean and a draw."""
        return {f"imputed_{name}": torch.cat(rows) for name, rows in self.shown.items() if is_image(rows[0].shape[1:])}

    def _sets(self, data: DataSplit) -> Mapping[str, Corruption]:
        if data.corrupt and not isinstance(data.corrupt, MissingValues):
            return {OWN: data.corrupt}
        own = {OWN: data.corrupt} if data.corrupt else {}  # holes of the data hide no truth: others stand beside them
        return own | {
            name: corrupt for name, corrupt in self.corruptions.items() if _applies(corrupt, data.x.shape[1:])
        }

    def _fitting(self, model: nn.Module, corrupt: Corruption) -> dict[str, Imputer]:
        """The methods that fit a model, as it was trained."""
        learned_from_holes = isinstance(model, Corrupted) and not isinstance(model, ExactModel)
        able = {name: each for name, each in self.methods.items() if not (learned_from_holes and each.shows_complete)}
        return {name: each for name, each in able.items() if each.fits(_of_complete(model), corrupt)}

    def _restore(
        self, model: nn.Module, name: str, corrupt: Corruption, truth: Tensor, seen: Tensor, report: ProgressCallback,
        standardization: Standardization | None,
    ) -> list[Estimate]:  # fmt: skip
        methods, complete = self._fitting(model, corrupt), _of_complete(model)

        def find(block: slice) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for method, imputer in methods.items():
                found |= _rows(method, imputer(complete, seen[block], corrupt, self.num_draws))
            return found

        rows = process_group.map_blocks(len(seen), BLOCK, find, report)
        restored = {method: _imputed(method, rows) for method in methods}

        shown = [truth[:SHOWN], grey_where_missing(seen[:SHOWN])]
        for each in restored.values():
            shown += [each.mean[:SHOWN], each.draws[0, :SHOWN]]
        self.shown[name] = shown

        asked, found = corrupt.target_mask(seen) & ~truth.isnan(), []
        unit = "variances" if standardization else ""
        if not bool(asked.any()):
            return []  # by chance: there is nothing to restore
        of_set = {name: str(corrupt) if name == OWN else corrupt.settings}
        for method, each in restored.items():
            settings = of_set | {"num_draws": self.num_draws} | methods[method].settings
            doubt = self._doubt(each, truth, asked)
            warning = self._warning(model, doubt)
            found.append(_error(name, method, each.mean, truth, asked, settings, doubt, warning, unit))
            if each.log_p is not None:
                kind: Kind = "exact" if methods[method].is_exact else "estimate"
                log_p = each.log_p.cpu()
                if standardization:
                    log_p = log_p + standardization.log_det(seen.isnan())
                how = (log_p, f"log_likelihood_seen_{name}", method, kind)
                medians = _medians(each)
                found.append(Estimate.over(*how, settings=settings, diagnostics=medians, warning=warning))
        for method, guess in self._baselines(corrupt, seen).items():
            found.append(_error(name, method, guess, truth, asked, of_set, {}, None, unit))
        return found

    def _warning(self, model: nn.Module, doubt: dict[str, float]) -> str | None:
        if doubt.get("ess_median", math.inf) >= 2:
            return None
        if isinstance(model, Corrupted):
            return "it rests on single draws: raise methods.importance_sampling.num_samples"
        if isinstance(model, DensityNetwork):
            return "it rests on single draws of the prior, and so do the chains: the model has no q(z | x)"
        return "it rests on single draws of a q(z | x) that does not know such holes: trust the chains"

    def _doubt(self, each: Imputed, truth: Tensor, asked: Tensor) -> dict[str, float]:
        """What the draws say of how far the mean can be trusted."""
        found = {"mse_of_draws": sum(Errors.of(draw, truth, asked).mean for draw in each.draws) / len(each.draws)}
        if bool(((truth == 0) | (truth == 1)).all()):
            found |= binary_scores(each.mean[asked], truth[asked])
        else:
            low, nominal = ranks_of_interval(self.num_draws, 0.9)
            found |= interval(each.draws[:, asked], truth[asked], low) | {"nominal": nominal}
        return found | _medians(each)

    def _baselines(self, corrupt: Corruption, seen: Tensor) -> dict[str, Tensor]:
        known = corrupt.observed(seen)
        assert self.baseline is not None
        mean, x = self.baseline
        found = {"mean": mean.expand_as(seen), "nearest_neighbour": self._neighbour(known, x)}
        if corrupt.known_is_true:
            found = {name: torch.where(known.isnan(), guess, known) for name, guess in found.items()}
        return found if isinstance(corrupt, Missing) else {"as_seen": seen} | found

    def _neighbour(self, known: Tensor, x: Tensor) -> Tensor:
        """The nearest training example by the elements that are known."""
        weight = (~known.isnan()).to(x).flatten(1)  # (B, D)
        value, rows = known.nan_to_num(0.0).flatten(1), x.flatten(1)
        squares = weight @ rows.square().T - 2 * value @ rows.T  # up to a constant of each example
        return x[squares.argmin(1)]


def _error(
    name: str, method: str, guess: Tensor, truth: Tensor, asked: Tensor, settings: dict[str, Any],
    seen: dict[str, float], warning: str | None, unit: str,
) -> Estimate:  # fmt: skip
    errors = Errors.of(guess, truth, asked)
    if bool(asked.all()) and truth.min() >= 0 and truth.max() <= 1:
        seen = seen | {"psnr": -10 * math.log10(max(errors.mean, 1e-12))}
    return Estimate(f"mse_{name}", method, "estimate", *errors, len(truth), unit, settings, {**seen}, warning)


def _applies(corrupt: Corruption, shape: Sequence[int]) -> bool:
    """Whether a corruption makes sense of this shape: regions are those of images."""
    try:
        corrupt.check(shape)
    except ValueError:
        return False
    return True


def _medians(each: Imputed) -> dict[str, float]:
    return {f"{name}_median": values.median().item() for name, values in each.seen.items()}


def _generator(what: str) -> torch.Generator:
    """Of the same numbers in every run."""
    return torch.Generator().manual_seed(rng.key(0, f"imputation {what}"))


def _of_complete(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, Corrupted) else model


def _rows(method: str, each: Imputed) -> dict[str, Tensor]:
    """As tensors (B, ...)."""
    rows = {"mean": each.mean, "draws": each.draws.movedim(0, 1)} | each.seen
    return {f"{method} {name}": row for name, row in rows.items()} | (
        {} if each.log_p is None else {f"{method} log_p": each.log_p}
    )


def _imputed(method: str, rows: Mapping[str, Tensor]) -> Imputed:
    """From such tensors."""
    own = {name.removeprefix(f"{method} "): row for name, row in rows.items() if name.startswith(f"{method} ")}
    return Imputed(own.pop("mean"), own.pop("draws").movedim(1, 0), own.pop("log_p", None), own)
