"""Identity of an estimate: split, quantity, estimator, settings and number of examples."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dgm_run.config.leaves import format_leaf

IDENTITY_FIELDS = ("split", "quantity", "estimator", "settings", "num_examples")

AUGMENTED = "; training images augmented by "
"""Words before the augmentations, which end the text of a preprocessing."""


def estimate_id(row: Mapping[str, Any]) -> str:
    """Returns the identity of a row of results.json, equal for rows of the same estimator, settings and data."""
    return json.dumps([row.get(name) for name in IDENTITY_FIELDS], sort_keys=True)


def drop_augmentation(preprocessing: str) -> str:
    """Returns the preprocessing of the test examples, without the augmentation of the training images."""
    return preprocessing.partition(AUGMENTED)[0]


def values_key(row: Mapping[str, Any]) -> str:
    """Returns the key in values.npz of the values of single examples of a row."""
    digest = hashlib.sha256(estimate_id(row).encode()).hexdigest()[:12]
    return f"{row['split']}/{row['quantity']}/{row['estimator']}/{digest}"


def describe_method(kind: str, estimator: str, settings: Mapping[str, Any]) -> str:
    """Describes the method of an estimate in words: `estimate by ais (num_chains=100)`, or `exact`."""
    listed = ", ".join(f"{name}={format_leaf(value)}" for name, value in settings.items())
    name = kind.replace("_", " ")
    method = name if estimator == kind else f"{name} by {estimator}"
    return f"{method} ({listed})" if listed else method
