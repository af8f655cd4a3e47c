"""State of a training, which a checkpoint holds for an exact resume."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from dgm_run.distributed import process_group
from dgm_run.trainers.ema import EMA

_COUNTERS = (
    "step",
    "finished_at",
    "examples",
    "waited",
    "best",
    "best_epoch",
    "seconds",
    "elapsed",
    "names",
    "is_hopeless",
)


class TrainingState:
    """State of one training: model, optimizer, schedule, moving average, the objective's state, and counters.

    Random numbers need no state: they are keyed by seed and step (`rng.py`).

    Attributes:
        step: number of optimizer steps.
        finished_at: last step at which an epoch ended and was evaluated.
        best: best monitored validation value.
        best_epoch: epochs trained at the best value.
        waited: evaluations since the best value.
        memory: state of the objective for each part of a batch that this process computes.
        history: loss and terms of the steps of this epoch, (steps_per_epoch, 1 + terms), on the device, without the
            contributions of other processes.
        names: names of the columns of `history`.
        is_hopeless: whether median stopping ends this run.
        seconds: seconds spent in steps.
        elapsed: seconds spent in training.
        examples: number of examples trained on.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Any,
        ema: EMA | None,
        memory: dict[int, dict[str, Tensor]],
    ):
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.ema = ema
        self.memory = memory
        self.step = self.finished_at = self.examples = self.waited = self.best_epoch = 0
        self.best = -math.inf
        self.seconds = self.elapsed = 0.0
        self.names: list[str] = []
        self.is_hopeless = False
        self.history: Tensor | None = None

    def record(self, position: int, steps_per_epoch: int, terms: dict[str, Tensor]) -> None:
        """Stores loss and terms of a step on the device, without waiting for their values."""
        if self.history is None:
            self.names = list(terms)
            device = next(iter(terms.values())).device
            self.history = torch.zeros(steps_per_epoch, len(terms), dtype=torch.float64, device=device)
        self.history[position] = torch.stack([value.detach() for value in terms.values()])

    def has_finite_weights(self) -> bool:
        norms = torch._foreach_norm(list(self.model.parameters()))
        return bool(torch.stack(norms).isfinite().all())

    def copy_evaluation_weights(self) -> dict[str, Tensor]:
        """Copies the weights that evaluation uses: the moving average if there is one."""
        if self.ema is None:
            return {name: value.clone() for name, value in self.model.state_dict().items()}
        with self.ema.apply():
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    def state_dict(self, num_parts: int) -> dict[str, Any]:
        """Returns the state without the weights, as tensors, numbers, lists and dicts. All processes call it together.

        Args:
            num_parts: parts of a batch.
        """
        return {name: getattr(self, name) for name in _COUNTERS} | {
            "history": None if self.history is None else process_group.all_reduce_sum(self.history),
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if _is_plain(v)},
            "ema": self.ema.state_dict() if self.ema else None,
            "memory": {number: self._gather_memory(number) for number in range(num_parts)},
        }

    def _gather_memory(self, number: int) -> dict[str, Tensor]:
        """Gathers the objective's state of a part from the process that computes it."""
        like = next(iter(self.memory.values()))
        own = self.memory.get(number)
        return {name: process_group.all_reduce_sum(own[name] if own else torch.zeros_like(like[name])) for name in like}

    def load(self, weights: dict[str, Tensor], state: dict[str, Any], takes_history: bool) -> None:
        """Restores the state of a checkpoint.

        Args:
            weights: weights of the model.
            state: entries of `state_dict`.
            takes_history: whether this process takes the history, which only one of several processes may do.
        """
        self.model.load_state_dict(weights)
        device = next(self.model.parameters()).device
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.history = None if state["history"] is None else state["history"].to(device) * takes_history
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        # without this mark torch warns that the schedule steps before the optimizer
        vars(self.optimizer)["_opt_called"] = self.step > 0
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        for number, memory in self.memory.items():
            for name, value in memory.items():
                value.copy_(state["memory"][number][name])


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict)
