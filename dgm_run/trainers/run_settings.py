"""Settings of a run that hold for every trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run that hold for every trainer: where it runs, and what it starts from.

    Args:
        eval_batch_size: examples of a batch in evaluation.
        precision: fp32 | bf16 (matrix products only) | fp64.
        device: auto | cpu | cuda | cuda:N.
        devices: processes that train one model, each on a GPU of its own, or all on the CPU.
        worker_timeout_seconds: seconds without a message from a process, after which the run ends.
        threads: CPU threads; null for as many as a step can use.
        init_from: run folder, or file of safetensors, that gives the initial weights; null for none.
        init_parts: names of the model's parts that they replace; null for the whole model.
        resume: run folder to resume, or auto for the run's own folder if it holds a checkpoint.

    Raises:
        ValueError: a number is not positive, or parts of no weights are named.
    """

    eval_batch_size: int
    precision: Literal["fp32", "bf16", "fp64"]
    device: str
    devices: int
    worker_timeout_seconds: float
    threads: int | None
    init_from: str | None
    init_parts: Sequence[str] | None
    resume: str | None

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"{name} = {value} must be positive")
        if self.init_parts is not None and not (self.init_from and self.init_parts):
            raise ValueError(
                f"init_parts = {list(self.init_parts)} names parts of the weights in init_from = {self.init_from}: "
                "set both, or init_parts=null for all parts"
            )
