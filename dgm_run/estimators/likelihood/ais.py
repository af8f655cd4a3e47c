"""Annealed importance sampling of log Z.

Sources: R. Neal, Annealed importance sampling, 2001, https://arxiv.org/abs/physics/9803008; R. Salakhutdinov,
I. Murray, On the quantitative analysis of deep belief networks, 2008.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.likelihood.doubling import check_target, double_until, list_target
from dgm_run.estimators.likelihood.log_mean import log_mean_margin
from dgm_run.estimators.likelihood.pareto import UNRELIABLE_K
from dgm_run.estimators.likelihood.partition import LogPartition, PartitionFunction
from dgm_run.estimators.likelihood.temperatures import Schedule, choose_temperatures
from dgm_run.estimators.likelihood.weights import weigh
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.base import EnergyModel

MIN_EFFECTIVE_SHARE = 0.1
"""Effective sample size, as a share of the chains, below which the error of log Z may exceed the stated one."""
MIN_EFFECTIVE_CHAINS = 5
"""Effective sample size below which the error of log Z may exceed the stated one. For log weights with a standard
deviation of 3, the interval covers in 80% of cases at a size of 3, and in 87% at 5."""


@dataclass(frozen=True)
class AIS(PartitionFunction):
    """log Z by log Z_0 + log mean w, with weights w = prod_k f_{k + 1}(x_k) / f_k(x_k).

    Gibbs sampling moves the state x_k of a chain along the path of densities f_k. The mean of w is unbiased for Z /
    Z_0, so its log understates log Z on average. The likelihood is then too high on average, the more so with few
    temperatures. A single estimate can err on either side. `log_mean_margin` gives its interval, which does not allow
    for a mode that all chains have missed.

    With a target the path doubles until its standard error meets it without a warning, or the next path would exceed
    the limit. A path that met it only after doubling runs once more, since its error may look small by chance. Only the
    last path counts, and each has new chains.

    Args:
        num_chains: number of independent chains.
        num_temperatures: steps from the base to the model, including the pilot of an adaptive schedule.
        schedule: linear | sigmoid | salakhutdinov_murray | adaptive.
        target_stderr: standard error of log Z to reach, nats; null for one path.
        max_num_temperatures: largest number of temperatures of a path; without a target it has no effect.

    Raises:
        ValueError: there is no chain or no temperature, or a target without a limit.
    """

    num_chains: int
    num_temperatures: int
    schedule: Schedule
    target_stderr: float | None = None
    max_num_temperatures: int | None = None

    def __post_init__(self):
        if self.num_chains < 2:
            raise ValueError(f"num_chains = {self.num_chains} must be at least 2, for a standard error")
        if self.num_temperatures < 1:
            raise ValueError(f"num_temperatures = {self.num_temperatures} must be positive")
        check_target("target_stderr", self.target_stderr, self.max_num_temperatures)

    def __call__(self, model: EnergyModel, report: ProgressCallback = no_progress) -> LogPartition:
        if self.target_stderr is None:
            return self._anneal(model, report)

        def anneal(num_temperatures: int, report: ProgressCallback) -> LogPartition:
            return replace(self, num_temperatures=num_temperatures)._anneal(model, report)

        assert self.max_num_temperatures is not None
        found = double_until(self._meets_target, anneal, self.num_temperatures, self.max_num_temperatures, report)
        return replace(found, settings=self._list_settings())

    def _meets_target(self, found: LogPartition) -> bool:
        return self.target_stderr is None or (found.margin.stderr <= self.target_stderr and not found.warning)

    def _list_settings(self) -> dict[str, Any]:
        """Returns the settings that say how log Z is estimated; without a target the limit is none of them."""
        settings = {name: getattr(self, name) for name in ("num_chains", "num_temperatures", "schedule")}
        limits = (self.num_temperatures, self.max_num_temperatures)
        return settings | list_target("target_stderr", self.target_stderr, *limits)

    def _anneal(self, model: EnergyModel, report: ProgressCallback) -> LogPartition:
        """Estimates log Z along one path."""
        log_w = self.log_weights(model, report)
        log_z = (model.log_base_partition() + log_mean_exp(log_w)).item()
        margin = log_mean_margin(log_w)
        low, high = margin.around(log_z)
        columns = weigh(log_w.unsqueeze(1))
        ess = columns["ess"].item()
        pareto_k = columns["pareto_k"].item() if "pareto_k" in columns else None
        diagnostics = {
            "log_z": log_z,
            "log_z_low": low,
            "log_z_high": high,
            "ais_ess": ess,
            "ais_log_weight_std": log_w.std().item(),
            "ais_pareto_k": pareto_k,
            "ais_temperatures": self.num_temperatures,
        }
        warning = self._describe_doubt(ess, pareto_k) if any(margin) else None
        return LogPartition(log_z, "ais", margin, self._list_settings(), diagnostics, warning)

    @torch.no_grad()
    def log_weights(self, model: EnergyModel, report: ProgressCallback = no_progress) -> Tensor:
        """Runs the chains and returns log w of each, (num_chains,), in float64."""
        betas = choose_temperatures(self.schedule, self.num_temperatures, model, report)
        x = model.sample_base(self.num_chains)
        preactivations = model.preactivations(x)
        log_w = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        total = max(self.num_temperatures, len(betas))
        for done, (beta, next_beta) in enumerate(pairwise(betas), total - len(betas)):
            log_w += model.log_ratio(x, preactivations, beta, next_beta)
            x = model.gibbs_step(x, preactivations, next_beta)
            preactivations = model.preactivations(x)
            if done % 100 == 0:
                report(done, total)
        return log_w

    def _describe_doubt(self, ess: float, pareto_k: float | None) -> str | None:
        """Describes weights whose mean has a larger error than stated; None where they are well spread."""
        if ess < max(MIN_EFFECTIVE_SHARE * self.num_chains, MIN_EFFECTIVE_CHAINS):
            reason = f"only {ess:.1f} of {self.num_chains} chains carry the weight of log Z"
        elif pareto_k is not None and pareto_k > UNRELIABLE_K:
            reason = f"the weights of the chains behind log Z have a heavy tail (Pareto k {pareto_k:.2f})"
        else:
            return None
        longer = 2 * self.num_temperatures
        is_at_limit = self.max_num_temperatures is not None and self.max_num_temperatures < longer
        key = "max_num_temperatures" if self.target_stderr is not None and is_at_limit else "num_temperatures"
        return (
            f"{reason}, so its error may exceed the stated one: raise {key} to {longer:,} or more, "
            f"or num_chains, now {self.num_chains:,}"
        )
