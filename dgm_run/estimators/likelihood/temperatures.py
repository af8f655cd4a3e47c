"""Inverse temperatures of the path from a base to a model.

Sources: R. Salakhutdinov, I. Murray, On the quantitative analysis of deep belief networks, 2008; R. Grosse,
C. Maddison, R. Salakhutdinov, Annealing between distributions by averaging moments, 2013 (even variance of the log
weights).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.models.energy.base import EnergyModel

FixedSchedule = Literal["linear", "sigmoid", "salakhutdinov_murray"]
Schedule = Literal["linear", "sigmoid", "salakhutdinov_murray", "adaptive"]

PUBLISHED = ((0.0, 0.5, 500), (0.5, 0.9, 4000), (0.9, 1.0, 10_000))
"""Pieces of the path, each with its number of the 14,500 temperatures of Salakhutdinov and Murray."""
PILOT_CHAINS = 100
PILOT_ROUNDS = 2
PILOT_SHARE = 0.05
"""Share of the temperatures that a round of the pilot takes."""
PUBLISHED_SHARE = 0.75
"""Share of the temperatures that follow the schedule of Salakhutdinov and Murray."""
PILOT_BLOCKS = 50
"""Blocks of temperatures over which the variance of the log weights is measured."""


def list_temperatures(schedule: FixedSchedule, num: int) -> list[float]:
    """Returns inverse temperatures from 0 to 1, about `num` of them after the first.

    `sigmoid` puts more of them at both ends. `salakhutdinov_murray` has the steps 0.5 / 1,000, 0.4 / 10,000 and
    0.1 / 100,000 of their code. For a `num` other than 14,500 it keeps these proportions.
    """
    if schedule == "salakhutdinov_murray":
        betas = [0.0]
        for low, high, count in PUBLISHED:
            steps = max(1, round(count * num / 14_500))
            betas += torch.linspace(low, high, steps + 1, dtype=torch.float64)[1:].tolist()
        return betas
    even = torch.linspace(0, 1, num + 1, dtype=torch.float64)
    if schedule == "sigmoid":
        even = torch.sigmoid(8 * even - 4)
        even = (even - even[0]) / (even[-1] - even[0])
    return even.tolist()


def choose_temperatures(
    schedule: Schedule, num: int, model: EnergyModel, report: ProgressCallback = no_progress
) -> list[float]:
    """Returns inverse temperatures of a schedule; `adaptive` runs a pilot, whose temperatures count towards `num`.

    A quarter of them give the log weights of the pilot an even variance along the path. The others follow the schedule
    of Salakhutdinov and Murray, which is dense near 1. There the modes of a trained model separate, and a short pilot
    understates the variance because few of its chains move between modes.

    Args:
        schedule: linear | sigmoid | salakhutdinov_murray | adaptive.
        num: number of temperatures in all.
        model: the end of the path.
        report: receives the progress of the pilot.
    """
    if schedule != "adaptive":
        return list_temperatures(schedule, num)
    num_pilot = max(2, round(PILOT_SHARE * num))
    betas = list_temperatures("linear", num_pilot)
    for done in range(PILOT_ROUNDS):
        edges, density = _estimate_density(betas, _run_pilot(model, betas))
        left = num_pilot if done + 1 < PILOT_ROUNDS else max(1, num - PILOT_ROUNDS * num_pilot)
        betas = _place_temperatures(edges, density, left)
        report((done + 1) * num_pilot, num)
    return betas


@torch.no_grad()
def _run_pilot(model: EnergyModel, betas: Sequence[float]) -> Tensor:
    """Runs pilot chains and returns the increment of their log weights at each step, (K, C), in float64."""
    x = model.sample_base(PILOT_CHAINS)
    preactivations = model.preactivations(x)
    increments = []
    for beta, next_beta in pairwise(betas):
        increments.append(model.log_ratio(x, preactivations, beta, next_beta).double())
        x = model.gibbs_step(x, preactivations, next_beta)
        preactivations = model.preactivations(x)
    return torch.stack(increments).cpu()


def _estimate_density(betas: Sequence[float], increments: Tensor) -> tuple[Tensor, Tensor]:
    """Returns edges of blocks of the path, (M + 1,), and the best density of temperatures in each, (M,).

    The density holds up to a factor. A block of length L with steps of length d adds a variance V = L d r to the log
    weights. Here r is the variance of d log f / d beta times its correlation time in sweeps. A density of sqrt(r)
    minimises the sum of V.
    """
    ends = torch.linspace(0, len(increments), min(PILOT_BLOCKS, len(increments)) + 1).round().long()
    edges = torch.tensor(betas, dtype=torch.float64)[ends]
    lengths = edges.diff()
    counts = ends.diff()
    variances = torch.stack([block.sum(0).var() for block in increments.split(counts.tolist())])
    return edges, (variances * counts).sqrt() / lengths


def _place_temperatures(edges: Tensor, density: Tensor, num: int) -> list[float]:
    """Returns `num` temperatures after the first, some by the density, the others by the published schedule."""
    published = torch.tensor([0.0, *(high for _, high, _ in PUBLISHED)], dtype=torch.float64)
    counts = torch.tensor([0, *(count for _, _, count in PUBLISHED)], dtype=torch.float64).cumsum(0)
    grid = torch.cat([edges, published]).unique()
    cumulative = _interpolate(grid, published, counts / counts[-1])  # share of the temperatures below each beta
    mass = torch.cat([torch.zeros(1, dtype=torch.float64), (density * edges.diff()).cumsum(0)])
    if mass[-1] > 0:
        cumulative = torch.lerp(_interpolate(grid, edges, mass / mass[-1]), cumulative, PUBLISHED_SHARE)
    quantiles = torch.linspace(0, 1, num + 1, dtype=torch.float64)
    betas = _interpolate(quantiles, cumulative, grid)
    betas[0] = 0.0
    betas[-1] = 1.0
    return betas.tolist()


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Evaluates the piecewise linear function through (x, y), with x rising, at the points `at`."""
    right = torch.searchsorted(x, at).clamp(1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return torch.lerp(y[right - 1], y[right], share.clamp(0, 1))
