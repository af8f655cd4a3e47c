"""Annealed importance sampling of log p(x) of any decoder, with Hamiltonian dynamics: a lower and an upper bound.

Sources: Y. Wu et al., On the quantitative analysis of decoder-based generative models, 2017,
https://arxiv.org/abs/1611.04273; R. Grosse et al., Sandwiching the marginal likelihood using bidirectional Monte Carlo,
2015, https://arxiv.org/abs/1511.02543.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import Margin, mean_and_stderr
from dgm_run.estimators.likelihood.annealed_chains import AnnealedChains, NoisyDecoder
from dgm_run.estimators.likelihood.doubling import check_target, double_until, list_target
from dgm_run.estimators.likelihood.temperatures import list_temperatures
from dgm_run.estimators.likelihood.weights import (
    has_small_ess,
    list_example_columns,
    sampling_diagnostics,
    sampling_error,
    weigh,
)
from dgm_run.models.base import ContinuousLatentModel, log_mean_exp

FIT_STEPS = 5
"""Steps of expectation maximisation of the noise."""
FIT_SHARE = 0.5
"""Temperatures of all these steps, relative to those of the first path."""
MAX_GAP = 5.0
"""Gap between the bounds, nats, above which a warning is given."""
MIN_EFFECTIVE_CHAINS = 2
"""Effective sample size of the median example below which a warning is given."""


@dataclass(frozen=True)
class AISDecoder(Estimator[ContinuousLatentModel]):
    """log 1/S sum_s w_s, with chains that HMC moves from the prior, or from q(z | x), to the posterior.

    Its expectation lies below log p(x); it exceeds log p(x) by b nats with probability less than exp(-b).
    `num_simulated` adds bidirectional Monte Carlo: the model draws data, and the same chains run backwards from exact
    posterior samples. Their expectation lies above. The gap between the bounds, on these data, bounds the error of
    both.

    A pilot run chooses a fixed step size for each temperature: chains that adapt their own step size give no bound. At
    the same number of gradients, many temperatures with short trajectories do better than few with long ones.

    With a target the path doubles until the gap, with its error, meets it, as `double_until` says. Only the last path
    counts.

    Args:
        num_examples: number of examples of the split, drawn at random; null for all of them.
        num_chains: S, for each example.
        num_temperatures: T.
        num_leapfrog: leapfrog steps of a trajectory; there is one trajectory for each temperature.
        target_acceptance: acceptance that the pilot aims at.
        schedule: linear | sigmoid.
        start: prior | encoder; the latter needs a posterior with a density.
        num_simulated: number of examples drawn from the model for the gap; zero for none.
        max_batch_rows: chains at a time, which bounds the memory.
        scale: standard deviation of Gaussian noise around the means of the decoder: model (its own) | fit (to as many
            validation examples, by expectation maximisation with the chains' ends) | a number.
        target_gap: mean gap between the bounds to reach, nats; null for one path.
        max_num_temperatures: largest number of temperatures of a path; without a target it has no effect.
        fitted_scale: the standard deviation, after `fit`.

    Raises:
        ValueError: a setting is out of its range, or a target has no limit or no simulated examples.
    """

    num_examples: int | None
    num_chains: int
    num_temperatures: int
    num_leapfrog: int
    target_acceptance: float
    schedule: Literal["linear", "sigmoid"]
    start: Literal["prior", "encoder"]
    num_simulated: int
    max_batch_rows: int
    scale: Literal["model", "fit"] | float
    target_gap: float | None = None
    max_num_temperatures: int | None = None
    fitted_scale: float | None = None

    requires = {"model": ContinuousLatentModel}
    gives_log_likelihood = True

    def __post_init__(self):
        if not isinstance(self.scale, str) and not self.scale > 0:
            raise ValueError(f"scale = {self.scale} must be positive, or be model or fit")
        self.require_positive("num_chains", "num_temperatures", "num_leapfrog", "max_batch_rows")
        if self.num_examples:
            self.require_positive("num_examples")
        if self.num_simulated < 0:
            raise ValueError(f"num_simulated = {self.num_simulated} must not be negative")
        if not 0 < self.target_acceptance < 1:
            raise ValueError(f"target_acceptance = {self.target_acceptance} must lie between 0 and 1")
        check_target("target_gap", self.target_gap, self.max_num_temperatures)
        if self.target_gap and self.num_simulated < 2:
            raise ValueError(
                f"target_gap = {self.target_gap} needs num_simulated of 2 or more, now {self.num_simulated}: "
                "set it, or target_gap=null for one path"
            )

    @torch.no_grad()
    def check(self, model: ContinuousLatentModel, data: LoadedDataset) -> None:
        if self.scale != "model" and not isinstance(model.generate(1), IndependentGaussian):
            raise ConfigError("estimators.ais_decoder.scale: the decoder has no Gaussian noise: set scale=model")
        if self.start == "prior":
            return
        q = model.infer(data.train.batch(slice(0, 1)))
        if isinstance(q, BatchExpanded):
            raise ConfigError("estimators.ais_decoder.start: this model has no encoder: use start=prior")
        q = q.proposal()
        try:
            q.log_prob(q.sample())
        except NotImplementedError:
            raise ConfigError(
                "estimators.ais_decoder.start: this posterior has no density at every z: use start=prior"
            ) from None

    @torch.no_grad()
    def fit(
        self, model: ContinuousLatentModel, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "AISDecoder":
        if self.scale != "fit":
            return self
        n = min(self.num_examples or len(valid), len(valid))
        x = valid.batch(torch.randperm(len(valid))[:n].to(valid.x.device))
        betas = list_temperatures(self.schedule, max(2, round(FIT_SHARE * self.num_temperatures / FIT_STEPS)))
        scale = model.generate(1).variance.mean().sqrt().item()
        for step in range(FIT_STEPS):
            noisy = NoisyDecoder(model, scale)

            def report_part(done: int, total: int, step: int = step) -> None:
                report(step * total + done, FIT_STEPS * total)

            log_w, z = AnnealedChains(self, noisy, betas, x, n, report_part).run_forward(x)
            squares = torch.stack([self._mean_squares(noisy, x, ends) for ends in z])
            scale = (log_w.softmax(0) * squares).sum(0).mean().sqrt().item()
        return replace(self, fitted_scale=scale)

    def _mean_squares(self, noisy: NoisyDecoder, x: Tensor, z: Tensor) -> Tensor:
        """Returns the mean squared error of each example's decoded mean: (N, *shape), (N, L) -> (N,)."""
        parts = zip(x.split(self.max_batch_rows), z.split(self.max_batch_rows), strict=True)
        errors = [rows - noisy.decode(ends).mean for rows, ends in parts]
        return torch.cat([each.square().flatten(1).mean(1) for each in errors])

    @torch.no_grad()
    def __call__(
        self, model: ContinuousLatentModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        n = min(self.num_examples or len(data), len(data))
        index = torch.randperm(len(data))[:n].to(data.x.device)
        x = data.batch(index)
        noisy = NoisyDecoder(model, self.fitted_scale or (None if self.scale == "model" else float(self.scale)))

        def anneal(num_temperatures: int, report: ProgressCallback) -> SimulatedBounds:
            betas = list_temperatures(self.schedule, num_temperatures)
            num_examples = n + 2 * self.num_simulated

            def report_path(done: int, total: int) -> None:
                report(num_temperatures * done // total, num_temperatures)

            return self._bound_simulated(AnnealedChains(self, noisy, betas, x, num_examples, report_path))

        if self.target_gap:
            assert self.max_num_temperatures is not None
            target = self.target_gap
            lengths = (self.num_temperatures, self.max_num_temperatures)
            bounds = double_until(lambda bounds: bounds.largest_gap <= target, anneal, *lengths, report)
        else:
            bounds = anneal(self.num_temperatures, report)

        names = ("num_chains", "num_temperatures", "num_leapfrog", "schedule", "start", "scale")
        settings = {name: getattr(self, name) for name in names}
        settings |= list_target("target_gap", self.target_gap, self.num_temperatures, self.max_num_temperatures)
        estimates = [self._estimate_likelihood(bounds.chains, x, data, index, settings)]
        if self.num_simulated:
            estimates += self._estimate_bounds(bounds, data, settings | {"data": "simulated"})
        return estimates

    def _estimate_likelihood(
        self, chains: AnnealedChains, x: Tensor, data: DataSplit, index: Tensor, settings: dict[str, Any]
    ) -> Estimate:
        """Estimates the mean of log p(x) over the examples x of `data` at `index`."""
        log_w, _ = chains.run_forward(x)  # (S, N)
        columns = _move_to_cpu(weigh(log_w))
        error = sampling_error(columns, self.num_chains)
        diagnostics = sampling_diagnostics(columns, error)
        diagnostics |= {"acceptance": chains.acceptance, "temperatures": len(chains.betas) - 1}
        if self.fitted_scale:
            diagnostics["fitted_scale"] = self.fitted_scale
        warning = None
        if has_small_ess(diagnostics, min(MIN_EFFECTIVE_CHAINS, self.num_chains)):
            warning = (
                "a single chain carries most of the weight: take more temperatures "
                f"(estimators.ais_decoder.{self._length_key})"
            )
        estimate = Estimate.over(
            data.to_data_units(columns["log_p"], index),
            quantity="log_likelihood",
            estimator="ais",
            kind="estimate",
            errors=error.of_independent_samples,
            settings=settings,
            diagnostics=diagnostics,
            warning=warning,
        )
        if len(x) < len(data):
            # another evaluation takes other examples, so that it differs by more than the error of computing
            return replace(estimate, values=None, computing_interval=None)
        assert estimate.values is not None
        order = index.argsort().cpu()  # of the split
        numbers = {name: each[order] for name, each in list_example_columns(columns, self.num_chains).items()}
        return replace(estimate, values=estimate.values[order], example_columns=numbers)

    @property
    def _length_key(self) -> str:
        """Key of the number of temperatures that bounds the path."""
        return "max_num_temperatures" if self.target_gap else "num_temperatures"

    def _bound_simulated(self, chains: AnnealedChains) -> "SimulatedBounds":
        """Bounds log p(x) of examples that the model draws, none of them if there are to be none."""
        if not self.num_simulated:
            return SimulatedBounds(chains, torch.zeros(0), torch.zeros(0))
        z = chains.prior.sample((self.num_simulated,))
        x = chains.noisy.decode(z).sample()
        low = _move_to_cpu(weigh(chains.run_forward(x)[0]))["log_p"]
        high = -log_mean_exp(-chains.run_backward(x, z)).cpu()
        return SimulatedBounds(chains, low, high)

    def _estimate_bounds(self, bounds: "SimulatedBounds", data: DataSplit, settings: dict[str, Any]) -> list[Estimate]:
        """Estimates a lower and an upper bound of log p(x) on the simulated examples, and their gap.

        Each row states the mean of a bound, so the bias of log means is no error of it. The scatter over the examples
        includes the error of the chains. No error of computing is stated: other evaluations draw other examples.
        """
        low = data.to_data_units(bounds.low)
        high = data.to_data_units(bounds.high)
        gap = (high - low).mean().item()
        warning = None
        if gap > MAX_GAP:
            warning = (
                f"the bounds lie {gap:.0f} nats apart, and the estimate may be off by as much: take more temperatures "
                f"(estimators.ais_decoder.{self._length_key})"
            )
        estimates = (
            Estimate.over(low, "simulated_low", "bdmc", "lower_bound", settings=settings),
            Estimate.over(high, "simulated_high", "bdmc", "upper_bound", settings=settings),
            Estimate.over(high - low, "gap", "bdmc", "upper_bound", settings=settings, warning=warning),
        )
        return [replace(each, values=None) for each in estimates]  # the examples are not those of the split


class SimulatedBounds(NamedTuple):
    """Bounds of log p(x) of examples that the model has drawn.

    Attributes:
        chains: chains that found them.
        low: lower bounds, (N,), nats.
        high: upper bounds, (N,), nats.
    """

    chains: AnnealedChains
    low: Tensor
    high: Tensor

    @property
    def largest_gap(self) -> float:
        """Upper end of the 95% interval of the mean gap."""
        mean, stderr = mean_and_stderr(self.high - self.low)
        assert stderr is not None
        return mean + Margin.student(stderr, len(self.low) - 1).above


def _move_to_cpu(columns: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.cpu() for name, values in columns.items()}
