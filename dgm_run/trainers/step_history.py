"""Loss and terms of the steps of an epoch, on the device."""

from typing import Any

import torch
from torch import Tensor

from dgm_run.distributed import process_group


class StepHistory:
    """Loss and terms of the steps of an epoch, without the contributions of other processes.

    Recording waits for no value of the device.

    Args:
        num_steps: number of steps of an epoch.

    Attributes:
        names: names of loss and terms.
        rows: values of each step, (num_steps, 1 + terms), float64; None before the first step.
    """

    def __init__(self, num_steps: int):
        self.num_steps = num_steps
        self.names: list[str] = []
        self.rows: Tensor | None = None

    def record(self, position: int, terms: dict[str, Tensor]) -> None:
        """Stores loss and terms of the step at `position` in its epoch."""
        if self.rows is None:
            self.names = list(terms)
            device = next(iter(terms.values())).device
            self.rows = torch.zeros(self.num_steps, len(terms), dtype=torch.float64, device=device)
        self.rows[position] = torch.stack([value.detach() for value in terms.values()])

    def average(self, sizes: Tensor) -> dict[str, float]:
        """Averages loss and terms over the first steps, whose batches have these sizes, (steps,)."""
        assert self.rows is not None
        rows = process_group.all_reduce_sum(self.rows[: len(sizes)])
        sizes = sizes.to(rows).unsqueeze(1)
        means = (rows * sizes).sum(0) / sizes.sum()
        return dict(zip(self.names, means.tolist(), strict=True))

    def find_non_finite(self, num_steps: int) -> int | None:
        """Returns the position of the first of `num_steps` steps with a value that is not finite; None without one."""
        if self.rows is None:
            return None
        bad = (~process_group.all_reduce_sum(self.rows[:num_steps]).isfinite().all(1)).nonzero()
        return int(bad[0]) if len(bad) else None

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows of all processes, which call it together."""
        return {"names": self.names, "rows": None if self.rows is None else process_group.all_reduce_sum(self.rows)}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restores a state of `state_dict`; of several processes only the main one takes the rows."""
        self.names = state["names"]
        if state["rows"] is not None:
            self.rows = state["rows"].to(device) * process_group.is_main_process()
