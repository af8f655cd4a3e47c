"""Check that a model can learn a few examples by heart."""

from collections.abc import Mapping
from typing import Any

from dgm_run.errors import TrainingError
from dgm_run.trainers.callbacks.base import Callback, Training


class OverfitCheck(Callback):
    """Callback that ends a run with an error unless the validation quantity rose.

    It belongs to `trainer.overfit_examples`, with which the training examples are validated, first before any step.

    Args:
        min_gain: smallest rise that counts as learning, in the unit of the quantity.
    """

    def __init__(self, min_gain: float):
        self.min_gain = min_gain
        self._values: list[float] = []

    def on_start(self, training: Training) -> None:
        if training.step == 0:
            self._values = []

    def on_validation(self, training: Training, values: Mapping[str, float]) -> None:
        self._values.append(values[training.monitor])

    def on_end(self, training: Training) -> None:
        first = self._values[0]
        best = max(self._values)
        num_examples = len(training.data.valid)
        change = f"{training.monitor} of {num_examples} examples: {first:.2f} at first, at best {best:.2f}"
        if best - first < self.min_gain:
            raise TrainingError(
                f"overfit: {change}, after {training.step} steps: the model does not learn them: raise optimizer.lr, "
                "or look for a fault in the model or the objective"
            )
        training.display.say(f"overfit: {change}, in {training.step} steps")

    def state_dict(self) -> dict[str, Any]:
        return {"values": self._values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._values = list(state["values"])
