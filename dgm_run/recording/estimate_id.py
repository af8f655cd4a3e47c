"""Identity of an estimate: split, quantity, estimator, settings, number of examples, and data other than the run's."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dgm_run.config.leaves import format_leaf
from dgm_run.config.schema import DATA_PATH_KEYS

IDENTITY_FIELDS = ("split", "quantity", "estimator", "settings", "num_examples")

AUGMENTED = "; training images augmented by "
"""Words before the augmentations, which end the text of a preprocessing."""


def estimate_id(row: Mapping[str, Any]) -> str:
    """Returns the identity of a row of results.json, equal for rows of the same estimator, settings and data."""
    identity = [row.get(name) for name in IDENTITY_FIELDS]
    return json.dumps([*identity, row["dataset"]] if row.get("dataset") else identity, sort_keys=True)


def drop_augmentation(preprocessing: str) -> str:
    """Returns the preprocessing of the test examples, without the augmentation of the training images."""
    return preprocessing.partition(AUGMENTED)[0]


def values_key(row: Mapping[str, Any]) -> str:
    """Returns the key in values.npz of the values of single examples of a row."""
    digest = hashlib.sha256(estimate_id(row).encode()).hexdigest()[:12]
    return f"{row['split']}/{row['quantity']}/{row['estimator']}/{digest}"


def is_data_identity(value: Any) -> bool:
    """Returns whether a value names the data of an estimate: None for those of the run, or name and settings."""
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(name), str) for name in ("name", "preprocessing"))
        and isinstance(value.get("settings"), dict)
    )


def select_data_settings(settings: Mapping[str, Any], preprocessing: str) -> dict[str, Any]:
    """Selects the settings that choose the test examples, but not those of the training alone.

    Args:
        settings: flat configuration: dotted key to value.
        preprocessing: protocol of the data.
    """
    has_digest = "md5 " in preprocessing  # the digest identifies data better than a path
    path_keys = DATA_PATH_KEYS if has_digest else ("dataset.source.data_dir",)
    # densities are in the units of the data, whatever units the model sees
    ignored = ("dataset.num_labels", "dataset.label_seed", "dataset.num_classes", "dataset.standardize", *path_keys)
    if settings.get("dataset.num_levels") is None:
        ignored += ("dataset.dequantize",)  # it applies to levels alone
    chosen = {key: value for key, value in settings.items() if key.startswith("dataset.") and key not in ignored}
    chosen = {key: value for key, value in chosen.items() if not key.startswith("dataset.augment.")}
    # a setting that is off equals one that older code does not have
    return {key: value for key, value in chosen.items() if value is not None and value is not False}


def describe_method(kind: str, estimator: str, settings: Mapping[str, Any]) -> str:
    """Describes the method of an estimate in words: `estimate by ais (num_chains=100)`, or `exact`."""
    listed = ", ".join(f"{name}={format_leaf(value)}" for name, value in settings.items())
    name = kind.replace("_", " ")
    method = name if estimator == kind else f"{name} by {estimator}"
    return f"{method} ({listed})" if listed else method
