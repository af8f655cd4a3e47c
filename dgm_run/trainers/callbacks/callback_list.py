"""Callbacks of a training, called together in the main process."""

from collections.abc import Mapping
from typing import Any

from dgm_run.distributed import process_group
from dgm_run.trainers.callbacks.base import Callback, Training


class CallbackList:
    """Callbacks of a training by their names. Processes other than the main one call none.

    Args:
        callbacks: callbacks by their names.
        training: training as they see it.

    Attributes:
        stop_reason: reason of a callback to stop, in all processes; None to go on.
    """

    def __init__(self, callbacks: Mapping[str, Callback], training: Training):
        self.has_callbacks = bool(callbacks)
        self.callbacks = callbacks if process_group.is_main_process() else {}
        self.training = training
        self.stop_reason: str | None = None

    def start(self, step: int) -> None:
        self.training.step = step
        for callback in self.callbacks.values():
            callback.on_start(self.training)

    def end_step(self, step: int) -> None:
        self.training.step = step
        for callback in self.callbacks.values():
            callback.on_step(self.training)

    def end_epoch(self, values: Mapping[str, float]) -> None:
        for callback in self.callbacks.values():
            callback.on_epoch(self.training, values)
        if self.has_callbacks:
            self.stop_reason = process_group.broadcast_from_main(lambda: self.training.stop_reason)

    def validate(self, values: Mapping[str, float]) -> None:
        for callback in self.callbacks.values():
            callback.on_validation(self.training, values)

    def end(self) -> None:
        for callback in self.callbacks.values():
            callback.on_end(self.training)

    def state_dict(self) -> dict[str, Any]:
        states = {name: callback.state_dict() for name, callback in self.callbacks.items()}
        return {"stop_reason": self.stop_reason, "states": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state of `state_dict`. Callbacks that a resumed run adds begin anew."""
        self.training.stop_reason = self.stop_reason = state["stop_reason"]
        for name, callback in self.callbacks.items():
            if name in state["states"]:
                callback.load_state_dict(state["states"][name])
