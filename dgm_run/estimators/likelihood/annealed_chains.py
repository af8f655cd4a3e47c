"""Annealed chains of a decoder: from the prior, or an approximate posterior, to the posterior of each example."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.samplers.hmc import LogDensities, Point, evaluate_point, hmc_step

FIRST_STEP = 0.1
"""Step size at which the pilot starts."""
PILOT_EXAMPLES = 20
PILOT_RATE = 0.1
"""Change of the log of the step size in the pilot for an acceptance that is off by one."""
JITTER = 0.2
"""Relative half-width of the uniform jitter of step sizes, which keeps trajectories from closing on themselves."""


class ChainSettings(Protocol):
    """Settings of the chains, as `AISDecoder` documents them."""

    @property
    def num_chains(self) -> int: ...
    @property
    def num_leapfrog(self) -> int: ...
    @property
    def target_acceptance(self) -> float: ...
    @property
    def start(self) -> Literal["prior", "encoder"]: ...
    @property
    def max_batch_rows(self) -> int: ...


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
        settings: settings of the chains.
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
        settings: ChainSettings,
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
