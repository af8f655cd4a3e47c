"""Exponential moving average of the weights, for evaluation.

Source: B. T. Polyak, A. B. Juditsky, Acceleration of stochastic approximation by averaging, 1992.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """Moving average theta_ema <- decay_t theta_ema + (1 - decay_t) theta, decay_t = min(decay, (1 + t) / (10 + t)).

    The decay rises with t, because a constant 0.999 would average over the noisy first steps for thousands of steps.

    Args:
        model: model whose parameters and batch-norm statistics are averaged.
        decay: largest decay, in (0, 1).

    Raises:
        ValueError: decay lies outside (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"trainer.ema_decay = {decay} must lie between 0 and 1; null switches it off")
        norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
        statistics = [each for norm in norms for each in (norm.running_mean, norm.running_var)]
        self.parameters = [*model.parameters(), *(each for each in statistics if each is not None)]
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the average towards the parameters after step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def apply(self) -> Iterator[None]:
        """Gives the model the averaged weights while the block runs."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.average, strict=True):
            value = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(value)

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"average": self.average}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for average, saved in zip(self.average, state["average"], strict=True):
            average.copy_(saved)
