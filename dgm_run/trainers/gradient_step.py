"""Step of stochastic gradient descent."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_run import rng
from dgm_run.data.data_split import DataSplit
from dgm_run.distributed import process_group
from dgm_run.distributed.data_parallel import DataParallel
from dgm_run.errors import ConfigError
from dgm_run.objectives.base import Objective, Progress
from dgm_run.trainers.batch_norm import refuse_single_values
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.step import Step


class GradientStep(Step):
    """Step by the gradient of an objective: forward, backward, clipping, optimizer.

    The step waits for no value of the device.

    Args:
        settings: settings of the trainer.
        model: model to train.
        objective: objective to minimise.
        train: training examples.
        seed: seed of the run.
        optimizer_key: key of the optimizer's settings, for messages.

    Attributes:
        augmented: training examples whose batches are augmented.
        objective_state: state of the objective for each part of a batch that this process computes.
    """

    def __init__(
        self,
        settings: LoopSettings,
        model: nn.Module,
        objective: Objective,
        train: DataSplit,
        seed: int,
        optimizer_key: str = "optimizer",
    ):
        self.settings = settings
        self.model = model
        self.objective = objective
        self.train = train
        self.augmented = train.augmented
        self.seed = seed
        self.data_parallel = DataParallel(model, settings.micro_batches, seed, settings.worker_timeout_seconds)
        try:
            self.optimizer = settings.optimizer(model.parameters())
            self.schedule = settings.schedule(self.optimizer)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{optimizer_key} or its schedule: {error}") from None
        self.objective_state = self._init_objective_state()
        self.compute_loss = self._compile() if settings.compiles_step(len(train)) else self._compute_loss_eagerly
        self._check_batch_norm()
        self.begin_epoch(0)

    def _init_objective_state(self) -> dict[int, dict[str, Tensor]]:
        rng.reseed(self.seed, "memory")
        index = torch.randperm(len(self.train))[: self.settings.batch_size].to(self.train.x.device)
        states = {}
        for number, part, _ in self.data_parallel.iterate_parts(index):
            rng.reseed(self.seed, "memory of a part", number)
            states[number] = self.objective.init_state(self.model, self.train.batch(part))
        return states

    def _check_batch_norm(self) -> None:
        part_state = {name: value.clone() for name, value in next(iter(self.objective_state.values())).items()}
        progress = Progress(torch.tensor(0.0, device=self.train.device), part_state)
        refuse_single_values(
            self.model,
            lambda index: self._compute_loss_eagerly(index, progress),
            num_examples=len(self.train),
            batch_size=self.settings.batch_size,
            num_parts=self.settings.micro_batches,
            device=self.train.x.device,
        )

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def begin_epoch(self, epoch: int) -> None:
        epochs_done = torch.tensor(float(epoch), device=self.train.device)
        self.progress = {
            number: Progress(epochs_done, part_state) for number, part_state in self.objective_state.items()
        }

    def __call__(self, index: Tensor, number: int) -> dict[str, Tensor]:
        return self.descend(self.compute_loss_of_part, index, "step", number)

    def compute_loss_of_part(self, index: Tensor, part: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes loss and terms of a part of a batch, at these positions."""
        return self.compute_loss(index, self.progress[part])

    def descend(self, compute_loss: Callable, index: Tensor, stream: str, number: int) -> dict[str, Tensor]:
        """Updates the parameters by the gradient of a loss.

        Args:
            compute_loss: (positions of a part of the batch, number of the part) -> loss and terms.
            index: positions of the examples of the batch, (B,).
            stream: name of the stream of random numbers.
            number: number of the step in the training.

        Returns:
            Loss and terms, as `DataParallel.backward` does.
        """
        terms = self.data_parallel.backward(compute_loss, index, stream, number)
        self.clip_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.project_parameters(self.model)
        return terms

    def clip_gradients(self) -> None:
        """Limits the norm of the gradient, if the settings say so."""
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm, foreach=True)

    def autocast(self) -> AbstractContextManager:
        """Returns a context in which matrix products have the precision of the settings."""
        if self.settings.precision == "bf16":
            return torch.autocast(self.train.device.type, torch.bfloat16)
        return nullcontext()

    def _compute_loss_eagerly(self, index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
        with self.autocast():
            return self.objective.step(self.model, self.augmented, index, progress)

    def _compile(self) -> Callable:
        on_gpu = self.train.device.type == "cuda"
        mode = "reduce-overhead" if on_gpu else "default"
        compiled = torch.compile(self._compute_loss_eagerly, dynamic=False, mode=mode)
        full_part_size = math.ceil(self.settings.batch_size / self.settings.micro_batches)

        def compute_loss(index: Tensor, progress: Progress) -> tuple[Tensor, dict[str, Tensor]]:
            if len(index) < full_part_size:
                # a smaller last batch does not pay for a graph of its own
                return self._compute_loss_eagerly(index, progress)
            if on_gpu:
                torch.compiler.cudagraph_mark_step_begin()
            return compiled(index, progress)

        return compute_loss

    def end_epoch(self, monitored: float | None) -> None:
        if not isinstance(self.schedule, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.schedule.step()
        elif monitored is not None:
            self.schedule.step(monitored)

    def prefetch(self, batches: Iterable[Tensor]) -> None:
        self.train.prefetch(part for index in batches for _, part, _ in self.data_parallel.iterate_parts(index))

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": {k: v for k, v in self.schedule.state_dict().items() if _is_plain(v)},
            "objective": {
                number: self._gather_objective_state(number) for number in range(self.settings.micro_batches)
            },
        }

    def _gather_objective_state(self, number: int) -> dict[str, Tensor]:
        """Gathers the objective's state of a part from the process that computes it."""
        like = next(iter(self.objective_state.values()))
        own = self.objective_state.get(number)
        return {name: process_group.all_reduce_sum(own[name] if own else torch.zeros_like(like[name])) for name in like}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        _restore_layouts(self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        # without this mark torch warns that the schedule steps before the optimizer
        vars(self.optimizer)["_opt_called"] = True
        for number, part_state in self.objective_state.items():
            for name, value in part_state.items():
                value.copy_(state["objective"][number][name])


def _restore_layouts(optimizer: Optimizer) -> None:
    """Gives the loaded state of each parameter its layout in memory, which a checkpoint does not keep.

    Fused optimizers read the memory of both in one order.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict)
