"""What TensorBoard's HParams page shows of a run."""

from collections.abc import Mapping
from typing import Any

from dgm_run.config.schema import MACHINE_KEYS, SHARED_SIZES


def hparams(config: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a settled configuration, by names that fit a column of TensorBoard's HParams page."""
    leaves: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if key in _NO_COLUMN or node is None or _is_echo(key):
            return
        if isinstance(node, Mapping):
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else name)
        elif key.endswith("._target_"):
            leaves[key.removesuffix("._target_")] = node.rpartition(".")[2]
        elif not key.endswith("._partial_") and not str(node).startswith("${"):  # parts stand for themselves
            leaves[key] = node if isinstance(node, bool | int | float | str) else str(node)

    walk(config, "")
    return leaves


def _is_echo(key: str) -> bool:
    """Whether a part only repeats a size that is set elsewhere."""
    owner = SHARED_SIZES.get(key.rpartition(".")[2])
    return owner is not None and not key.startswith(f"{owner}.")


_NO_COLUMN = (
    *("estimators", "published", "dataset._target_", "dataset.source._target_", "trainer.eval_batch_size"),
    *("trainer.image_every_epochs", "trainer.checkpoint_seconds", *MACHINE_KEYS),
)
"""What is no choice between models, or changes no number."""
