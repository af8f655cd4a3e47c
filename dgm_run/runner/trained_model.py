"""The trained model of a run, for arrays in the units of the data."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.data.corruptions import MissingValues
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.data.examples import prepare_examples, to_tensor
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.text import VOCABULARY, TextDataset, encode_lines
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.errors import ConfigError, DataError
from dgm_run.estimators.base import Estimate, Estimator, Kind
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.gibbs import Gibbs
from dgm_run.estimators.imputation.importance_sampling import ImportanceSampling
from dgm_run.estimators.imputation.imputer import Imputer
from dgm_run.models.base import GenerativeModel, LatentVariableModel, get_like
from dgm_run.models.corrupted import CorruptedModel, build_corrupted_model, get_complete_model
from dgm_run.models.external import name_model
from dgm_run.models.labelled.base import JointModel
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.models.latent.gan import GAN
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from dgm_run.runner.compatibility import has_right_kind

BATCH_SIZE = 500
"""Examples at a time."""
IMPUTED_BATCH_SIZE = 50
"""Examples at a time where each has many samples."""
IMPUTERS: tuple[Imputer, ...] = (
    Exact(),
    Gibbs(num_steps=500, burn_in=100),
    ImportanceSampling(num_samples=1000, max_batch_rows=10_000),
)
"""Methods of `impute`; the first that supports the model is used."""


@runtime_checkable
class HasFeatures(Protocol):
    """Model with hidden units, whose means stand for an example: (B, *shape) -> (B, M)."""

    def features(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Reconstructs(Protocol):
    """Model that maps an example to its code and back: (B, *shape) -> (B, *shape)."""

    def reconstruct(self, x: Tensor) -> Tensor: ...


class LogLikelihoods(NamedTuple):
    """log p(x) of single examples, in the units of the data.

    Attributes:
        values: (N,), nats, float64.
        stderr: standard error of computing each value, (N,), nats: zero where it is exact, NaN where it is not known.
        kind: exact, lower_bound, upper_bound or estimate.
        estimator: name of the method.
        settings: settings of the method.
        diagnostics: further numbers of each example by name, (N,): ess, pareto_k.
        warning: reason to distrust the values; None for none.
    """

    values: Tensor
    stderr: Tensor
    kind: Kind
    estimator: str
    settings: dict[str, Any]
    diagnostics: dict[str, Tensor]
    warning: str | None

    @classmethod
    def from_estimate(cls, estimate: Estimate) -> "LogLikelihoods":
        """Takes the values of single examples from an estimate of their mean."""
        assert estimate.values is not None
        diagnostics = dict(estimate.example_columns)
        unknown = 0.0 if estimate.kind == "exact" else torch.nan
        stderr = diagnostics.pop("stderr", torch.full_like(estimate.values, unknown))
        return cls(
            estimate.values, stderr, estimate.kind, estimate.estimator, estimate.settings, diagnostics, estimate.warning
        )


class TrainedModel:
    """Trained model of a run, with one interface for all kinds of models.

    Examples are arrays or tensors of shape (N, *shape), in the units of the data. They are binarised, dequantised or
    standardised as the test examples of the run were. Results are tensors on the CPU without gradients, in the units of
    the data. A seed leaves torch's own random numbers as they were.

    Args:
        folder: folder of the run.
        model: its model, in evaluation mode.
        preprocessing: preprocessing of its data.
        build: builds the object of a configuration group, as of `dataset`.

    Attributes:
        model: the torch module, which takes and returns examples in its own units: bits, or standardised values.
    """

    def __init__(
        self,
        folder: Path,
        model: GenerativeModel,
        preprocessing: Preprocessing,
        build: Callable[[str], Any],
    ):
        self.folder = folder
        self.model = model
        self.preprocessing = preprocessing
        self._build = build

    def __repr__(self) -> str:
        return f"TrainedModel({name_model(self.model)}, {os.fspath(self.folder)!r})"

    def to(self, device: torch.device | str) -> "TrainedModel":
        """Moves the model to a device; examples follow it."""
        self.model.to(device)
        self.__dict__.pop("data", None)
        return self

    @property
    def complete_model(self) -> nn.Module:
        """The model of complete examples; the run may have a model of corrupted ones around it."""
        return get_complete_model(self.model)

    @cached_property
    def dataset(self) -> Dataset | TextDataset:
        """Description of the data set of the run, which is not loaded."""
        return self._build("dataset")

    @cached_property
    def data(self) -> LoadedDataset:
        """Splits of the data set of the run: `data.train`, `data.valid` and `data.test`.

        Raises:
            DataError: the data are no longer where they were.
        """
        return self.dataset.load(self._like.device)

    def log_likelihood(
        self, x: ArrayLike | Tensor | Sequence[str], num_samples: int | None = None, seed: int = 0
    ) -> LogLikelihoods:
        """Computes log p(x) by the first estimator of the run that states it.

        Args:
            x: examples, (N, *shape), or sentences for a model of text. NaN is a missing value; the likelihood is then
                that of the observed values.
            num_samples: samples of each example; None for the setting of the run.
            seed: seed of the estimator's draws.

        Raises:
            ConfigError: the run has no such estimator, or the estimator takes no samples.
            DataError: the examples are not of the kind of the data.
        """
        estimator = self._choose_estimator(num_samples)
        model = self.model
        with _random_numbers(seed, "log-likelihood"), _default_type(self._like.dtype):
            examples = self._prepare(x)
            if examples.corrupt and not isinstance(model, CorruptedModel):
                model = build_corrupted_model(model, examples.corrupt)
            if type(estimator).fit is not Estimator.fit:
                estimator = estimator.fit(model, self.data.train, self.data.valid)
            estimates = estimator(model, examples)
        return LogLikelihoods.from_estimate(next(each for each in estimates if each.quantity == "log_likelihood"))

    def encode(self, x: ArrayLike | Tensor) -> Tensor:
        """Computes the mean of q(z | x), (N, L), or the means of the hidden units of an energy model, (N, M)."""
        if isinstance(self.model, HasFeatures):
            return self._map(x, self.model.features)
        model = self._require_encoder("encode")
        return self._map(x, lambda batch: model.infer(batch).mean)

    def decode(self, z: ArrayLike | Tensor) -> Tensor:
        """Computes the mean of p(x | z): (N, L) -> (N, *shape).

        Raises:
            DataError: z has another shape.
        """
        model = self._require(LatentVariableModel, "decode")
        codes = to_tensor(z).to(self._like)
        (latent_dim,) = model.latent_prior().event_shape
        if codes.dim() != 2 or codes.shape[1] != latent_dim or not len(codes):
            raise DataError(f"z has shape {list(codes.shape)}, and the model takes (N, {latent_dim}), N at least 1")
        with torch.no_grad():
            return self._restore(torch.cat([model.decode(batch).mean for batch in codes.split(BATCH_SIZE)]))

    def reconstruct(self, x: ArrayLike | Tensor, seed: int = 0) -> Tensor:
        """Computes the mean of p(x | z) at one draw of q(z | x): (N, *shape) -> (N, *shape)."""
        if not isinstance(self.model, Reconstructs) or isinstance(self.model, GAN):
            raise self._cannot("reconstruct")
        with _random_numbers(seed, "reconstruct"):
            return self._restore(self._map(x, self.model.reconstruct))

    def interpolate(self, x1: ArrayLike | Tensor, x2: ArrayLike | Tensor, steps: int = 8) -> Tensor:
        """Decodes even steps between the codes of pairs of examples, (N, *shape) each: (steps, N, *shape).

        Raises:
            ConfigError: the number of steps is not positive.
            DataError: x1 and x2 do not have the same number of examples.
        """
        self._require_encoder("interpolate")
        if steps < 1:
            raise ConfigError(f"steps = {steps} must be positive")
        first, last = self.encode(x1), self.encode(x2)
        if len(first) != len(last):
            raise DataError(f"x1 has {len(first)} examples, and x2 has {len(last)}: give as many of both")
        shares = torch.linspace(0, 1, steps, dtype=first.dtype).view(-1, 1, 1)
        codes = torch.lerp(first, last, shares)  # (steps, N, L)
        return self.decode(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])

    def impute(self, x: ArrayLike | Tensor, seed: int = 0) -> Tensor:
        """Replaces missing values (NaN) by their means given the observed values: (N, *shape) -> (N, *shape)."""
        examples = self._prepare(x)
        model = self.complete_model
        corrupt = MissingValues()
        imputer = next((each for each in IMPUTERS if each.supports(model, corrupt)), None)
        if imputer is None:
            raise self._cannot("impute missing values")
        with _random_numbers(seed, "impute"):
            batches = self._iterate_batches(examples, IMPUTED_BATCH_SIZE)
            means = self._restore(torch.cat([imputer(model, batch, corrupt, 1).mean for batch in batches]))
        given = to_tensor(x).to(means).view_as(means)
        return torch.where(given.isnan(), means, given)

    def predict(self, x: ArrayLike | Tensor) -> Tensor:
        """Computes the probabilities of the labels: (N, *shape) -> (N, C)."""
        model = self._require(JointModel, "predict labels")
        return self._map(x, lambda batch: model.classify(model.observe(batch)).exp())

    def sample(self, n: int, y: int | None = None, seed: int | None = None) -> Tensor:
        """Draws n examples, (n, *shape).

        Args:
            n: number of examples.
            y: label of all of them, for a model of labels; None for any.
            seed: seed of the draws; None continues torch's random numbers.

        Raises:
            ConfigError: n is not positive, or the model knows no labels, or not this one.
        """
        if n < 1:
            raise ConfigError(f"n = {n} must be positive")
        if y is not None:
            model = self._require(JointModel, "draw examples of one label")
            if not 0 <= y < model.num_classes:
                raise ConfigError(f"y = {y}: the labels are 0 to {model.num_classes - 1}")
        with _random_numbers(seed, "sample"):
            return self._restore(self.model.sample(n) if y is None else model.sample_of_class(n, y))

    @property
    def _like(self) -> Tensor:
        """A parameter or a buffer of the model, which gives type and device."""
        return get_like(self.model)

    def _choose_estimator(self, num_samples: int | None) -> Estimator:
        """Returns the run's first estimator of the log-likelihood, for all examples and without further rows."""
        estimators = self._build("estimators").values()
        fitting = (each for each in estimators if each.gives_log_likelihood and has_right_kind(self.model, each))
        estimator = next(fitting, None)
        if estimator is None:
            raise ConfigError(f"{self!r} has no estimator of the log-likelihood")
        names = {field.name for field in fields(estimator)}
        if num_samples is None:
            changes: dict[str, Any] = {}
        elif "num_samples" in names:
            if num_samples < 1:
                raise ConfigError(f"num_samples = {num_samples} must be positive")
            changes = {"num_samples": num_samples}
        else:
            raise ConfigError(f"num_samples: {type(estimator).__name__} draws no samples of single examples: omit it")
        if "is_other_data" in names:  # else low likelihoods of other examples are taken for a collapse of the model
            changes["is_other_data"] = True
        return replace(
            estimator, **changes, **{name: None for name in ("num_examples", "reverse_ais") if name in names}
        )

    def _require(self, kind: type, action: str) -> Any:
        model = self.model if isinstance(self.model, kind) else self.complete_model
        if not isinstance(model, kind):
            raise self._cannot(action)
        return model

    def _require_encoder(self, action: str) -> LatentVariableModel:
        """Returns the model if it has a q(z | x); that of a GAN or a density network is its prior."""
        model = self._require(LatentVariableModel, action)
        if isinstance(model, DensityNetwork):
            raise self._cannot(action)
        return model

    def _cannot(self, action: str) -> ConfigError:
        return ConfigError(f"{name_model(self.model)} cannot {action}")

    def _prepare(self, x: ArrayLike | Tensor | Sequence[str]) -> DataSplit:
        if isinstance(x, str):
            raise DataError("one text is given: give a list of sentences")
        is_text = isinstance(x, Sequence) and len(x) > 0 and all(isinstance(line, str) for line in x)
        if isinstance(self.dataset, TextDataset):
            if not is_text:
                raise DataError(f"the model is one of sentences: give a list of strings, not {type(x).__name__}")
            vocabulary = Vocabulary.read(self.folder / VOCABULARY)
            return encode_lines(cast(Sequence[str], x), vocabulary, self.dataset.shape[0]).to(self._like.device)
        if is_text:
            raise DataError("the model is not one of sentences: give an array")
        return prepare_examples(self.dataset, to_tensor(x), self.preprocessing).to(self._like.device)

    def _iterate_batches(self, examples: DataSplit, size: int = BATCH_SIZE) -> Iterator[Tensor]:
        return (batch.to(self._like) for batch in examples.batches(size))

    def _map(self, x: ArrayLike | Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        examples = self._prepare(x)
        if examples.corrupt and not isinstance(self.model, CorruptedModel | FactorAnalysis):
            raise DataError("the array has missing values (NaN): fill them by impute(x)")
        with torch.no_grad():
            return torch.cat([function(batch) for batch in self._iterate_batches(examples)]).cpu()

    def _restore(self, x: Tensor) -> Tensor:
        """Converts examples to the units of the data."""
        return self.preprocessing.restore(x.cpu())


@contextmanager
def _random_numbers(seed: int | None, stream: str) -> Iterator[None]:
    """Draws by a seed in the block, without gradients; None continues torch's random numbers."""
    with torch.no_grad():
        if seed is None:
            yield
            return
        with torch.random.fork_rng():
            rng.reseed(seed, stream)
            yield


@contextmanager
def _default_type(dtype: torch.dtype) -> Iterator[None]:
    """Makes real numbers of this type in the block, as a run in this precision does."""
    former = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(former)
