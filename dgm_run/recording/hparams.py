"""Hyperparameters of a run for TensorBoard's HParams page."""

from collections.abc import Mapping
from typing import Any

from dgm_run.config.schema import MACHINE_KEYS, SHARED_SIZES


def select_hparams(config: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the hyperparameters of a resolved configuration, by the names of their columns on the HParams page."""
    leaves: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if key in _KEYS_WITHOUT_COLUMN or node is None or _is_repeated_size(key):
            return
        if isinstance(node, Mapping):
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else name)
        elif key.endswith("._target_"):
            leaves[key.removesuffix("._target_")] = node.rpartition(".")[2]
        elif not key.endswith("._partial_") and not str(node).startswith("${"):  # parts have entries of their own
            leaves[key] = node if isinstance(node, bool | int | float | str) else str(node)

    walk(config, "")
    return leaves


def _is_repeated_size(key: str) -> bool:
    """Returns whether a part only repeats a size of another group."""
    owner = SHARED_SIZES.get(key.rpartition(".")[2])
    return owner is not None and not key.startswith(f"{owner}.")


_KEYS_WITHOUT_COLUMN = (
    *("estimators", "published", "dataset._target_", "dataset.source._target_", "dataset.columns"),
    "trainer.eval_batch_size",
    *("trainer.image_every_epochs", "trainer.checkpoint_seconds", *MACHINE_KEYS),
)
"""Keys that do not distinguish models, or change no number."""
