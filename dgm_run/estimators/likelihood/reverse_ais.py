"""Reverse annealed importance sampling: a conservative estimate of the likelihood.

Source: Y. Burda, R. Grosse, R. Salakhutdinov, Accurate and conservative estimates of MRF log-likelihood using
reverse annealing, 2015, https://arxiv.org/abs/1412.8566.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.likelihood.doubling import check_target, list_target
from dgm_run.estimators.likelihood.temperatures import Schedule, choose_temperatures
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.base import EnergyModel, repeat_batch


@dataclass(frozen=True)
class RAISE:
    """log p(s) by the log of the mean of weights w = f_1(s) / Z_0 prod_k f_k(s_k) / f_{k + 1}(s_k).

    Gibbs sampling moves the states s_k from s back to the base f_0. The mean of w is the probability of s under the
    annealed model, from which a chain along the path draws. So its log is too low on average. More temperatures bring
    the annealed model closer to the model itself.

    Args:
        num_examples: largest number of examples whose states are taken.
        num_chains: number of chains for each state.
        num_temperatures: steps from the model to the base, including the pilot of an adaptive schedule.
        schedule: linear | sigmoid | salakhutdinov_murray | adaptive.
        target_gap: gap to the likelihood, nats, above which the path doubles; null for one path.
        max_num_temperatures: largest number of temperatures of a path; without a target it has no effect.

    Raises:
        ValueError: one of the numbers is not positive, or there is a target without a limit.
    """

    num_examples: int
    num_chains: int
    num_temperatures: int
    schedule: Schedule
    target_gap: float | None = None
    max_num_temperatures: int | None = None

    def __post_init__(self):
        for name in ("num_examples", "num_chains", "num_temperatures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be positive")
        check_target("target_gap", self.target_gap, self.max_num_temperatures)

    def list_settings(self) -> dict[str, Any]:
        """Returns the settings of a row, without the number of examples, of which there may be fewer."""
        settings = {name: getattr(self, name) for name in ("num_chains", "num_temperatures", "schedule")}
        return settings | list_target("target_gap", self.target_gap, self.num_temperatures, self.max_num_temperatures)

    @torch.no_grad()
    def __call__(self, energy: EnergyModel, states: Tensor, report: ProgressCallback = no_progress) -> Tensor:
        """Estimates a conservative log p(s) of every state, (B, *state_shape) -> (B,), in float64."""
        state = repeat_batch(states, self.num_chains)
        preactivations = energy.preactivations(state)
        log_w = energy.log_unnormalized(state, preactivations).double() - energy.log_base_partition()
        betas = choose_temperatures(self.schedule, self.num_temperatures, energy, report)[::-1]
        total = max(self.num_temperatures, len(betas))
        for done, (beta, lower_beta) in enumerate(pairwise(betas), total - len(betas)):
            state = energy.gibbs_step(state, preactivations, beta)
            preactivations = energy.preactivations(state)
            log_w += energy.log_ratio(state, preactivations, beta, lower_beta)
            if done % 100 == 0:
                report(done, total)
        return log_mean_exp(log_w.view(self.num_chains, -1))
