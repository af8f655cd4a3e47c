"""How a number was found, by which two of them are told apart."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

NAMES = ("split", "quantity", "estimator", "settings", "num_examples")


def estimate_id(row: Mapping[str, Any]) -> str:
    """Of a row of results.json: equal for two rows that were found in the same way."""
    return json.dumps([row.get(name) for name in NAMES], sort_keys=True)


def values_key(row: Mapping[str, Any]) -> str:
    """Under which values.npz holds what the single examples of this row have."""
    digest = hashlib.sha256(estimate_id(row).encode()).hexdigest()[:12]
    return f"{row['split']}/{row['quantity']}/{row['estimator']}/{digest}"


def describe_method(kind: str, estimator: str, settings: Mapping[str, Any]) -> str:
    """How a number was found, as it is read: `estimate by ais (num_chains=100)`, and `exact` if that says it all."""
    told = ", ".join(f"{name}={value}" for name, value in settings.items())
    by = "" if estimator == kind else f" by {estimator}"
    return kind.replace("_", " ") + by + (f" ({told})" if told else "")
