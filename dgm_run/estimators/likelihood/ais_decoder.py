"""Annealed importance sampling of log p(x) of any decoder, with Hamiltonian dynamics: a lower and an upper bound.

Sources: Y. Wu et al., On the quantitative analysis of decoder-based generative models, 2017,
https://arxiv.org/abs/1611.04273; R. Grosse et al., Sandwiching the marginal likelihood using bidirectional Monte Carlo,
2015, https://arxiv.org/abs/1511.02543.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.intervals import Margin, mean_and_stderr
from dgm_run.estimators.likelihood.doubling import check_target, double_until, list_target
from dgm_run.estimators.likelihood.temperatures import temperatures
from dgm_run.estimators.likelihood.weights import has_fewer, sampling_diagnostics, sampling_error, weigh
from dgm_run.models.base import ContinuousLatentModel, log_mean_exp
from dgm_run.samplers.hmc import LogDensities, Point, evaluate_point, hmc_step

FIRST_STEP = 0.1
"""Step size at which the pilot starts."""
PILOT_EXAMPLES = 20
PILOT_RATE = 0.1
"""Change of the log of the step size in the pilot for an acceptance that is off by one."""
JITTER = 0.2
"""Relative half-width of the uniform jitter of step sizes, which keeps trajectories from closing on themselves."""
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
        q = model.infer(data.train.batch(slice(0, 1))).proposal()
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
        betas = temperatures(self.schedule, max(2, round(FIT_SHARE * self.num_temperatures / FIT_STEPS)))
        scale = model.generate(1).variance.mean().sqrt().item()
        for step in range(FIT_STEPS):
            noisy = NoisyDecoder(model, scale)

            def report_part(done: int, total: int, step: int = step) -> None:
                report(step * total + done, FIT_STEPS * total)

            log_w, z = AnnealedChains(self, noisy, betas, x, n, report_part).run_forward(x)
            squares = torch.stack([self._mean_squares(noisy, x, ends) for ends in z])
            scale = (log_w.softmax(0) * squares).sum(0).mean().sqrt().item()
        return replace(self, fitted_scale=scale)

    def _mean_squares(self, noisy: "NoisyDecoder", x: Tensor, z: Tensor) -> Tensor:
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
            betas = temperatures(self.schedule, num_temperatures)
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
        self, chains: "AnnealedChains", x: Tensor, data: DataSplit, index: Tensor, settings: dict[str, Any]
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
        if has_fewer(diagnostics, min(MIN_EFFECTIVE_CHAINS, self.num_chains)):
            warning = (
                "a single chain carries most of the weight: take more temperatures "
                f"(estimators.ais_decoder.{self._length_key})"
            )
        estimate = Estimate.over(
            data.in_data_units(columns["log_p"], index),
            quantity="log_likelihood",
            estimator="ais",
            kind="estimate",
            errors=error.of_independent_samples,
            settings=settings,
            diagnostics=diagnostics,
            warning=warning,
        )
        # another evaluation takes other examples, so that it differs by more than the error of computing
        computing = estimate.computing_interval if len(x) == len(data) else None
        return replace(estimate, values=None, computing_interval=computing)  # not in the order of the split

    @property
    def _length_key(self) -> str:
        """Key of the number of temperatures that bounds the path."""
        return "max_num_temperatures" if self.target_gap else "num_temperatures"

    def _bound_simulated(self, chains: "AnnealedChains") -> "SimulatedBounds":
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
        low = data.in_data_units(bounds.low)
        high = data.in_data_units(bounds.high)
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

    chains: "AnnealedChains"
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


class NoisyDecoder:
    """A model with Gaussian noise of a given scale around the means of its decoder.

    Args:
        model: the model, whose other parts stay.
        scale: standard deviation of the noise; None for the noise of the model itself.
    """

    def __init__(self, model: ContinuousLatentModel, scale: float | None):
        self.model = model
        self.log_scale = None if scale is None else math.log(scale)

    def decode(self, z: Tensor) -> Distribution:
        """Returns p(x | z) with the given noise: (*batch, L) -> batch shape (*batch,)."""
        p_x = self.model.decode(z)
        if self.log_scale is None:
            return p_x
        return IndependentGaussian(p_x.mean, p_x.mean.new_full((), self.log_scale), len(p_x.event_shape))


class AnnealedChains:
    """Chains between the start and the posterior of each example, in both directions, with step sizes of one pilot.

    Args:
        settings: the estimator.
        noisy: the model whose likelihood is estimated.
        betas: inverse temperatures from 0 to 1.
        x: examples for the pilot.
        num_examples: number of examples of all runs together, for the progress.
        report: receives the progress.

    Attributes:
        acceptance: mean probability of accepting a trajectory, after `run_forward`.
    """

    def __init__(
        self,
        settings: AISDecoder,
        noisy: NoisyDecoder,
        betas: list[float],
        x: Tensor,
        num_examples: int,
        report: ProgressCallback,
    ):
        self.settings = settings
        self.noisy = noisy
        self.betas = betas
        self.report = report
        self.block = max(1, settings.max_batch_rows // settings.num_chains)
        self.prior = noisy.model.latent_prior()
        self.acceptance: float | None = None
        pilot = x[: min(PILOT_EXAMPLES, self.block)]
        self.done = 0
        self.total = (num_examples + len(pilot)) * (len(betas) - 1)
        self.step_sizes = self._choose_step_sizes(pilot)

    def run_forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the chains from the start to the posterior; returns log weights, (S, N), and ends, (S, N, L).

        The mean of the weights is unbiased for p(x), and with them the ends are samples of the posterior.
        """

        def run_block(block: slice) -> dict[str, Tensor]:
            rows = x[block]
            start, log_densities = self._find_ends(rows)
            point = evaluate_point(start.sample((self.settings.num_chains,)), log_densities)
            log_w = torch.zeros_like(point.log_base, dtype=torch.float64)
            acceptance = torch.zeros_like(log_w[0])
            for t in range(1, len(self.betas)):
                log_w += (self.betas[t] - self.betas[t - 1]) * (point.log_target - point.log_base)
                if t < len(self.betas) - 1:  # a move after the last weight would change nothing
                    point, probability = self._move(point, t, log_densities)
                    acceptance += probability.mean(0)
                self._count(len(rows))
            return {"log_w": log_w.T, "ends": point.z.transpose(0, 1), "acceptance": acceptance}

        columns = process_group.map_blocks(len(x), self.block, run_block, no_progress)
        if len(self.betas) > 2:
            self.acceptance = columns["acceptance"].mean().item() / (len(self.betas) - 2)
        return columns["log_w"].T, columns["ends"].transpose(0, 1)

    def run_backward(self, x: Tensor, z: Tensor) -> Tensor:
        """Runs the chains back from z, an exact posterior sample of x, and returns their log weights, (S, N).

        The mean of exp(-log w) is unbiased for 1 / p(x).
        """

        def run_block(block: slice) -> dict[str, Tensor]:
            rows = x[block]
            ends = z[block]
            _, log_densities = self._find_ends(rows)
            point = evaluate_point(ends.expand(self.settings.num_chains, *ends.shape), log_densities)
            log_w = torch.zeros_like(point.log_base, dtype=torch.float64)
            for t in range(len(self.betas) - 1, 0, -1):
                if t < len(self.betas) - 1:
                    point, _ = self._move(point, t, log_densities)
                log_w += (self.betas[t] - self.betas[t - 1]) * (point.log_target - point.log_base)
                self._count(len(rows))
            return {"log_w": log_w.T}

        return process_group.map_blocks(len(x), self.block, run_block, no_progress)["log_w"].T

    def _choose_step_sizes(self, x: Tensor) -> Tensor:
        """Runs a pilot that adapts the step size along the path; returns the size for each temperature, (T,)."""
        start, log_densities = self._find_ends(x)
        z = start.sample((self.settings.num_chains,))
        point = evaluate_point(z, log_densities)
        log_step = torch.full((), FIRST_STEP, dtype=x.dtype, device=x.device).log()
        step_sizes = []
        for t in range(1, len(self.betas)):
            point, probability = self._move(point, t, log_densities, log_step.exp())
            log_step = log_step + PILOT_RATE * (probability.mean() - self.settings.target_acceptance)
            step_sizes.append(log_step.exp())
            self._count(len(x))
        return torch.stack(step_sizes)

    def _move(
        self, point: Point, t: int, log_densities: LogDensities, step_size: Tensor | None = None
    ) -> tuple[Point, Tensor]:
        """Moves the chains at temperature t; returns the new point and the probability of acceptance, (S, N)."""
        size = self.step_sizes[t - 1] if step_size is None else step_size
        jitter = 1 + JITTER * (2 * torch.rand_like(point.log_base) - 1)
        return hmc_step(point, self.betas[t], (size * jitter).unsqueeze(-1), self.settings.num_leapfrog, log_densities)

    def _find_ends(self, x: Tensor) -> tuple[Distribution, LogDensities]:
        """Returns the distribution of the starts, batch shape (N,), and the log densities at both ends of the path."""
        starts_from_prior = self.settings.start == "prior"
        base = BatchExpanded(self.prior, len(x)) if starts_from_prior else self.noisy.model.infer(x).proposal()

        def log_densities(z: Tensor) -> tuple[Tensor, Tensor]:
            log_prior = self.prior.log_prob(z)
            log_base = log_prior if starts_from_prior else base.log_prob(z)
            return log_base, log_prior + self.noisy.decode(z).log_prob(x)

        return base, log_densities

    def _count(self, num_examples: int) -> None:
        """Reports one more temperature of `num_examples` examples in every process."""
        self.done = min(self.total, self.done + num_examples * process_group.size())
        self.report(self.done, self.total)
