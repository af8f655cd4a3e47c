"""The likelihood of an energy model, and what it has to be held against."""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.estimators.partition import PartitionFunction
from dgm_run.estimators.reverse_ais import RAISE
from dgm_run.models.energy import EnergyModel

COLLAPSED = 0.002
"""A model that gains fewer nats a pixel over the baseline has learned nothing but the means of the pixels."""


@dataclass(frozen=True)
class EnergyLikelihood(Estimator):
    """log p(x) = -F(x) - log Z, and the log-likelihood of independent pixels fitted to the training data.

    Annealed importance sampling understates log Z, so that the likelihood is optimistic. The conservative one
    beside it is that less the difference to reverse annealing, which is measured on a part of the examples.

    Args:
        partition: how log Z is found.
        conservative: the other side where log Z is an estimate; null for none.
        max_rows: examples at a time.

    Raises:
        ValueError: max_rows is not positive.
    """

    partition: PartitionFunction
    conservative: RAISE | None
    max_rows: int

    requires = {"model": EnergyModel}

    def __post_init__(self):
        if self.max_rows < 1:
            raise ValueError("max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: EnergyModel, data: Examples, report: Report = silent) -> list[Estimate]:
        parts = 2 if self.conservative else 1
        log_z = self.partition(model, lambda done, total: report(done, parts * total))
        free_energy, baseline = [], []
        for start in range(0, len(data), self.max_rows):
            x = data.batch(slice(start, start + self.max_rows))
            free_energy.append(model.free_energy(x).double().cpu())
            baseline.append(model.log_baseline(x).double().cpu())
        log_p, independent = -torch.cat(free_energy) - log_z.value, torch.cat(baseline)

        exact = log_z.method == "exact"
        found = {"kind": "exact" if exact else "estimate", "settings": log_z.settings, "num_examples": len(data)}
        rows = []
        if self.conservative and not exact:
            rows.append(self._conservative(model, data, log_p, lambda done, total: report(total + done, 2 * total)))
        num_pixels = math.prod(data.x.shape[1:])
        bits = -(log_p / num_pixels + data.log_bin_width) / math.log(2)
        return [
            _estimate("log_likelihood", log_z.method, log_p, **found, diagnostics=log_z.diagnostics,
                      warning=_collapse(log_p, independent, num_pixels)),
            *rows,
            _estimate("bits_per_dim", log_z.method, bits, **found, unit="bits"),
            Estimate("log_partition", log_z.method, found["kind"], log_z.value, None, len(data)),
            _estimate("baseline", "independent_pixels", independent, kind="exact", num_examples=len(data)),
        ]  # fmt: skip

    def _conservative(self, model: EnergyModel, data: Examples, log_p: Tensor, report: Report) -> Estimate:
        settings = self.conservative
        index = torch.linspace(0, len(data) - 1, min(len(data), settings.num_examples)).round().long()
        low = settings(model, data.batch(index.to(data.x.device)), report).cpu()
        gap, gap_error = mean_and_stderr(log_p[index] - low)
        value, error = mean_and_stderr(log_p)
        return Estimate(
            *("log_likelihood_low", "raise", "estimate", value - gap),
            math.hypot(error or 0.0, gap_error or 0.0),
            len(data),
            settings=asdict(settings),
            diagnostics={"raise_gap": gap, "raise_gap_stderr": gap_error or 0.0},
            warning=_crossed(gap, gap_error),
        )


def _estimate(quantity: str, estimator: str, values: Tensor, **more) -> Estimate:
    value, stderr = mean_and_stderr(values)
    return Estimate(quantity, estimator, value=value, stderr=stderr, **more)


def _crossed(gap: float, gap_error: float | None) -> str | None:
    if gap >= -3 * (gap_error or 0.0):
        return None
    return "it lies above the optimistic side, so neither is to be trusted: take more temperatures"


def _collapse(log_p: Tensor, independent: Tensor, num_pixels: int) -> str | None:
    if (log_p - independent).mean() >= COLLAPSED * num_pixels:
        return None
    return (
        f"collapsed: no better than independent pixels ({independent.mean():.2f}); "
        "train longer, start the visible biases at the data means, or change optimizer.lr"
    )
