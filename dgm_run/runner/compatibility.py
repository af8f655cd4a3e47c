"""Refuses models, estimators and data that do not fit together, by checks that need the built objects.

`config/validate.py` makes the checks that need no objects.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from dgm_run.data.columns import describe_kinds
from dgm_run.data.dataset import DataDescription, Dataset, LoadedDataset
from dgm_run.data.table import TableDataset
from dgm_run.encoders.base import Encoder
from dgm_run.errors import CheckpointError, ConfigError, DataError
from dgm_run.estimators.base import Estimator
from dgm_run.likelihoods.base import Likelihood
from dgm_run.models.base import ExactModel, LatentVariableModel
from dgm_run.models.external import ExternalModel, get_module
from dgm_run.objectives.base import Objective
from dgm_run.priors.base import Prior
from dgm_run.trainers.base import Trainer


def refuse_wrong_kind(model: nn.Module, estimators: Mapping[str, Estimator], dataset: Dataset) -> None:
    """Refuses parts of the model, and estimators, that take data of another kind.

    Raises:
        ConfigError: one line that says what to set instead.
    """
    for part in (*model.modules(), *estimators.values()):
        takes = getattr(part, "takes", None)
        if takes and dataset.kind not in takes:
            if isinstance(dataset, TableDataset):
                raise ConfigError(_describe_column_conflict(part, takes, dataset))
            if "tokens" in (*takes, dataset.kind):
                raise ConfigError(_describe_sentence_conflict(part, dataset))
            raise ConfigError(
                _describe_value_conflict(part, takes, dataset, "model" if part is model else "likelihood")
            )
        if getattr(part, "value_range", None) and dataset.num_levels is None:
            raise ConfigError(
                "prior.value_range: the data are real values, not intensities: set prior.value_range=null"
            )


def has_right_kind(model: nn.Module, user: Objective | Trainer | Estimator) -> bool:
    """Returns whether a model is of the kind that an objective, a trainer or an estimator needs."""
    return isinstance(model, user.requires.get("model", object))


def choose_fitting(estimators: Mapping[str, Estimator], model: nn.Module) -> dict[str, Estimator]:
    """Chooses the estimators that go with a model trained elsewhere, whose kind the configuration does not tell.

    Those of another model were checked with its configuration.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(model, ExternalModel):
        return dict(estimators)
    fitting = {name: each for name, each in estimators.items() if has_right_kind(model, each)}
    if estimators and not fitting:
        kinds = {ExactModel: "exact", LatentVariableModel: "importance_sampling"}
        choice = next((name for kind, name in kinds.items() if isinstance(model, kind)), "sample_quality")
        raise ConfigError(
            f"estimators: none of {', '.join(estimators)} goes with {model.kind_name}: choose estimators=[{choice}]"
        )
    return fitting


def refuse_other_kind(model: nn.Module, users: Mapping[str, Objective | Trainer | None]) -> None:
    """Refuses an objective or a trainer that needs another kind than that of a model trained elsewhere.

    Raises:
        ConfigError: one line that says what to choose instead.
    """
    for name, user in users.items():
        if isinstance(model, ExternalModel) and user is not None and not has_right_kind(model, user):
            raise ConfigError(
                f"{name}: {type(user).__name__} needs a {user.requires['model'].__name__}, and model.factory returns "
                f"{model.kind_name}: choose trainer=none"
            )


def refuse_values_outside_unit_interval(model: nn.Module, data: LoadedDataset) -> None:
    """Refuses real values outside [0, 1] for a likelihood whose means pass a sigmoid; checks 1,000 examples.

    Raises:
        ConfigError: a value is outside; the message names the range and what to set.
    """
    if data.dataset.num_levels is not None or not any(getattr(part, "squash", False) for part in model.modules()):
        return
    x = data.valid.uncorrupted.batch(slice(0, 1000))
    x = x[~x.isnan()]
    low = x.min().item()
    high = x.max().item()
    if low < 0 or high > 1:
        standardized = data.valid.standardization is not None
        found = f"{data.dataset.name} has {'standardised ' * standardized}values from {low:.3g} to {high:.3g}"
        fix = "set likelihood.squash=false" + " or dataset.standardize=none" * standardized
        raise ConfigError(f"likelihood.squash: means lie in [0, 1], and {found}: {fix}")


def refuse_other_data(former: str, dataset: Dataset) -> None:
    """Refuses data that have changed since the run started.

    Args:
        former: protocol of the data at the start of the run.
        dataset: data set, loaded.

    Raises:
        CheckpointError: the protocols differ; the message names both.
    """
    if former != dataset.protocol:
        raise CheckpointError(
            f"{dataset.name} has changed since the run started: then {former}; now {dataset.protocol}"
        )


def refuse_missing_file(source: Mapping[str, Any]) -> None:
    """Refuses a file or folder of the user's own data that does not exist.

    Raises:
        DataError: names the path and its key.
    """
    path = source.get("path")
    if isinstance(path, str) and not Path(path).expanduser().exists():
        raise DataError(f"{path}: there is no such file or folder: set dataset.source.path")


def refuse_moved_data(source: Mapping[str, Any], command: str) -> None:
    """Refuses to start when a user's own data have been moved since the run started.

    Args:
        source: configuration of the data source.
        command: command that can name the new place.

    Raises:
        DataError: the data are missing; the message names their old place and what to write.
    """
    for name in ("path", "data_dir"):
        place = source.get(name)
        if isinstance(place, str) and not Path(place).exists():
            raise DataError(
                f"dataset.source.{name}: the data were in {place} and are no longer there: "
                f"name their new place: {command} dataset.source.{name}=NEW"
            )


def _describe_value_conflict(part: object, kinds: Sequence[str], dataset: Dataset, kind: str) -> str:
    name = type(get_module(part) if isinstance(part, nn.Module) else part).__name__
    takes = f"{name} takes {' or '.join(kinds)} data"
    setting = _SETTINGS_OF_KIND[kinds[0]]
    kind = "estimator" if isinstance(part, Estimator) else kind
    instead = f"likelihood={_LIKELIHOODS[dataset.kind]}" if kind == "likelihood" else f"another {kind}"
    if dataset.num_levels is None:
        levels = (
            f"for grey levels set dataset.num_levels=256 {setting} (integers 0 to 255; save floats in [0, 1] as "
            "np.round(255 * x)), for zeros and ones dataset.num_levels=2"
        )
        return f"{takes}, and those of {dataset.name} are real: choose {instead}; {levels}"
    given = f"dataset.binarize={dataset.binarize} gives {dataset.kind}"
    return f"{takes}, and {given}: set {setting}, or choose {instead}"


def _describe_column_conflict(part: object, takes: Sequence[str], dataset: TableDataset) -> str:
    instead = "choose model=vae, or keep columns of one kind: dataset.source.use=[real] or [binary]"
    if isinstance(part, Encoder):
        instead = "choose encoder=table"
    elif isinstance(part, Likelihood):
        instead = "choose likelihood=mixed"
    elif isinstance(part, Prior):
        instead = "choose another prior"
    elif isinstance(part, Estimator):
        instead = "drop it"
    name = type(part).__name__
    return (
        f"{name} takes {' or '.join(takes)} data, and {dataset.name} has columns of other kinds "
        f"({describe_kinds(dataset.columns)}): {instead}"
    )


def _describe_sentence_conflict(part: object, dataset: DataDescription) -> str:
    name = type(part).__name__
    if dataset.kind != "tokens":
        return f"{name} takes sentences, and {dataset.name} holds none: choose dataset=pydoc, text_file, ptb or pcfg"
    instead = "choose model=sentence_vae or language_model"
    if isinstance(part, Estimator):
        instead = "drop it"
    elif isinstance(part, Prior):
        instead = "choose another prior"
    return f"{name} takes no sentences, which {dataset.name} holds: {instead}"


def refuse_needing_complete(model: nn.Module, dataset: Dataset, users: Mapping[str, Any]) -> None:
    """Refuses an objective, a trainer or estimators that cannot use corrupted data.

    Raises:
        ConfigError: one line that says what to choose instead.
    """
    if dataset.corrupt is None:
        return
    for name, user in users.items():
        if user is None:  # without training there may be no objective
            continue
        if not has_right_kind(model, user) or (isinstance(user, Estimator) and not user.takes_corrupted):
            advice = {
                "objective": "choose model=vae, hvae or dlgm with objective=elbo, iwae or renyi, "
                "or factor_analysis or ppca",
                "trainer": "choose trainer=gradient",
            }
            fitting = "exact" if isinstance(model, ExactModel) else _ESTIMATORS_OF_CORRUPTED
            drop = f"drop it, or evaluate with estimators=[{fitting}]"
            raise ConfigError(f"{name}: {type(user).__name__} needs complete data: {advice.get(name, drop)}")


def refuse_augmentation(trainer: Trainer, dataset: Dataset) -> None:
    """Refuses augmentation where no step takes a batch of its own.

    Raises:
        ConfigError: one line that says what to choose instead.
    """
    if dataset.augment and not trainer.augments:
        raise ConfigError(
            f"dataset/augment: {type(trainer).__name__} takes the training examples as they are: drop it, or choose "
            "trainer=gradient"
        )


_ESTIMATORS_OF_CORRUPTED = "importance_sampling,imputation"
_SETTINGS_OF_KIND = {
    "binary": "dataset.binarize=dynamic",
    "levels": "dataset.binarize=none dataset.dequantize=false",
    "continuous": "dataset.binarize=none dataset.dequantize=true",
}
_LIKELIHOODS = {"binary": "bernoulli", "levels": "discretized_logistic", "continuous": "gaussian"}
