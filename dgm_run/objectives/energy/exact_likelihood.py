"""Exact likelihood, for models of few pixels."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.errors import ConfigError
from dgm_run.models.energy.base import EnergyModel
from dgm_run.models.energy.binary_states import BinaryEnergyModel
from dgm_run.models.energy.enumeration import binary_states
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.base import EnergyObjective, Phases, contrast_phases

MAX_PIXELS = 16
"""Largest number of pixels D; a step sums over 2^D states."""


@dataclass(frozen=True)
class ExactLikelihood(EnergyObjective[BinaryEnergyModel]):
    """Data against all states of the model, weighted by probability: the gradient of -log p(x) itself."""

    requires = {"model": BinaryEnergyModel}

    def init_state(self, model: BinaryEnergyModel, x: Tensor) -> dict[str, Tensor]:
        num_pixels = x[0].numel()
        if num_pixels > MAX_PIXELS:
            raise ConfigError(
                f"objective: an exact gradient sums over 2^{num_pixels} states, and 2^{MAX_PIXELS} is the limit: "
                "choose objective=pcd"
            )
        return super().init_state(model, x)

    def phases(self, model: EnergyModel, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        v = _list_states(states.shape[1:], states.dtype, states.device)
        v_preactivations = model.preactivations(v)
        log_f = model.log_unnormalized(v, v_preactivations)
        phases = contrast_phases(model, states, preactivations, v, v_preactivations, log_f.softmax(0))
        # same gradient; the value of the loss is -log p(x)
        return phases._replace(loss=log_f.logsumexp(0) - model.log_unnormalized(states, preactivations).mean())


@functools.lru_cache(maxsize=1)
def _list_states(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Lists every binary x, (2^D, *shape), cached between steps."""
    return binary_states(shape.numel(), 0, 1 << shape.numel(), device).to(dtype).unflatten(1, shape)
