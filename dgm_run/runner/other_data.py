"""Data other than those of a run, on which its model is evaluated: they pass through the preprocessing of the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dgm_run.config.leaves import format_leaf, iterate_leaves
from dgm_run.data.binarize import find_kind
from dgm_run.data.conform import ShapeError
from dgm_run.data.dataset import DataDescription, Dataset, LoadedDataset
from dgm_run.data.table import FOLLOWING_KEYS
from dgm_run.data.text import VOCABULARY, TextDataset
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.errors import ConfigError, DataError
from dgm_run.recording.estimate_id import select_data_settings
from dgm_run.runner import run_folder

SOURCE_KEYS_OF_SAME_DATA = (
    *("data_dir", "decoded", "download", "num_valid", "num_test", "split_seed"),
    *("columns", "kinds", "use", "one_hot", "shape", "num_levels", "num_classes", "label_column"),
)
"""Settings of a source that leave it the same data: places, splits, and what follows from the model."""

CORRUPTION_KEYS = ("corrupt", "corrupt_seed")
BINARIZATION_KEYS = ("binarize", "dequantize", "noise_seed")


class OtherData(NamedTuple):
    """Choice of other data for the evaluation of a run.

    Attributes:
        own_name: name of the data of the run.
        own_shape: shape of their examples.
        adopted: settings of the run that take the place of settings of the other data, by key.
        replaced: those of `adopted` that differ, with the settings of the other data.
    """

    own_name: str
    own_shape: Sequence[int]
    adopted: dict[str, Any]
    replaced: dict[str, Any]

    def describe(self, dataset: DataDescription) -> str:
        """Writes the line that names the data, their protocol, and settings that the run replaces."""
        changes = [
            f"{key}={format_leaf(self.adopted[key])} (not {format_leaf(value)})"
            for key, value in self.replaced.items()
            if key != "corrupt"
        ]
        changes += ["its corruption"] if "corrupt" in self.replaced else []
        taken = f"; settings of the run take the place of its own: {', '.join(changes)}" if changes else ""
        return (
            f"the run was trained on {self.own_name}, and is evaluated on other data: {dataset.name}, binarisation "
            f"{dataset.protocol}{taken}"
        )


def choose_other_data(own: Mapping[str, Any], other: Mapping[str, Any]) -> OtherData | None:
    """Chooses the settings under which a run is evaluated on other data; None for the data of the run.

    Args:
        own: node `dataset` of the configuration of the run.
        other: node `dataset` of the command, with resolved values.

    Raises:
        ConfigError: the model takes data of another kind or shape; one line names both.
    """
    if _identify(own) == _identify(other):
        return None
    kinds = [_find_kind(own), _find_kind(other)]
    adopted: dict[str, Any] = {}
    if kinds == ["table", "table"]:
        adopted = _take(own, other, FOLLOWING_KEYS)
    elif kinds == ["sentences", "sentences"]:
        adopted = _take(own, other, ("shape", "vocab_size"))
    elif not {"table", "sentences"} & set(kinds):
        adopted = _adopt_protocol(own, other)
        kinds[1] = _find_kind({**other, **adopted})
    shapes = [list(node.get("shape") or []) for node in (own, {**other, **adopted})]
    if kinds[0] != kinds[1] or shapes[0] != shapes[1]:
        raise ConfigError(
            f"dataset: {other.get('name')} holds {_describe(kinds[1], shapes[1])}, and the run was trained on "
            f"{own.get('name')}, which holds {_describe(kinds[0], shapes[0])}: choose data of the same kind and shape"
        )
    adopted |= _take(own, other, CORRUPTION_KEYS)
    if other.get("augment"):  # it changes training images alone, and nothing is trained
        adopted["augment"] = None
    replaced = {key: other[key] for key, value in adopted.items() if other[key] != value and "columns" not in adopted}
    return OtherData(str(own.get("name")), shapes[0], adopted, replaced)


def _take(own: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Returns the settings of the run by those of the keys that both data sets have."""
    return {key: own[key] for key in keys if key in own and key in other}


def _identify(node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings by which data sets differ, not counting their splits and protocols."""
    source = node.get("source") or {}
    chosen = {key: value for key, value in source.items() if key not in SOURCE_KEYS_OF_SAME_DATA}
    return {"name": node.get("name"), "class": node.get("_target_"), **chosen}


def _find_kind(node: Mapping[str, Any]) -> str:
    """Returns `table`, `sentences`, `binary data`, `real values` or, with their number, grey levels."""
    if "columns" in node:
        return "table"
    if "vocab_size" in node:
        return "sentences"
    num_levels = node.get("num_levels")
    kind = find_kind(num_levels, node.get("binarize", "none"), bool(node.get("dequantize")) and num_levels is not None)
    return {"binary": "binary data", "continuous": "real values"}.get(kind, f"{num_levels} levels")


def _describe(kind: str, shape: Sequence[int]) -> str:
    return {"table": "a table", "sentences": "sentences"}.get(kind, f"{kind} of shape {shape}")


def _adopt_protocol(own: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings of the run for images or vectors. A user's own data are also brought to its shape and levels."""
    adopted: dict[str, Any] = {}
    if "path" in (other.get("source") or {}):
        keys = ("shape", "num_levels") if other.get("num_levels") is None else ("shape",)
        adopted |= _take(own, other, keys)
    levels = {own.get("num_levels"), {**other, **adopted}.get("num_levels")}
    if levels == {None}:
        return adopted | _take(own, other, ("standardize",))
    has_binary = 2 in levels and not own.get("dequantize")
    # data that are binary already are not binarised, and real values cannot be
    return adopted if has_binary or None in levels else adopted | _take(own, other, BINARIZATION_KEYS)


def load_other_data(
    dataset: Dataset | TextDataset, folder: Path, other: OtherData, device: torch.device
) -> LoadedDataset:  # fmt: skip
    """Loads other data in the units, or with the vocabulary, of the model of a run.

    Raises:
        DataError: the examples have another shape than those of the run; one line names both.
    """
    try:
        if isinstance(dataset, TextDataset):
            return dataset.load(device, Vocabulary.read(folder / VOCABULARY))
        return dataset.load(device, run_folder.read_preprocessing(folder))
    except ShapeError as error:
        raise DataError(
            f"dataset: {dataset.name} has examples of shape {list(error.shape)}, and the run was trained on shape "
            f"{list(other.own_shape)}: choose data of the same shape"
        ) from None


def is_data_of_run(dataset: DataDescription, own_name: str, preprocessing: str) -> bool:
    """Returns whether a user's own data are those of the run after all, at another place, by their digest."""
    return dataset.name == own_name and dataset.protocol == preprocessing and "md5 " in preprocessing


def identify_data(dataset: DataDescription, node: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the field `dataset` of the rows of results.json: name, preprocessing, and settings of the examples.

    Args:
        dataset: data set, loaded.
        node: node `dataset` of the configuration, with resolved values.
    """
    settings = {f"dataset.{key}": value for key, value in iterate_leaves(node) if not key.endswith("columns")}
    return {
        "name": dataset.name,
        "preprocessing": dataset.protocol,
        "settings": select_data_settings(settings, dataset.protocol),
    }
