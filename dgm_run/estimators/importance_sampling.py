"""log p(x) of a latent-variable model by importance sampling from q(z | x).

Source: D. J. Rezende et al., Stochastic backpropagation, 2014, https://arxiv.org/abs/1401.4082 (appendix E);
Y. Burda et al., Importance weighted autoencoders, 2016, https://arxiv.org/abs/1509.00519.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dgm_run import parallel
from dgm_run.data.dataset import Examples
from dgm_run.distributions.base import Distribution
from dgm_run.estimators.base import Estimate, Estimator, Finely, Kind, Report, silent
from dgm_run.estimators.rate import rate
from dgm_run.models.base import LatentVariableModel

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active where Var_x E_q[z | x] exceeds this (Burda et al. 2016, section 5.2)."""


COLLAPSED = 0.2
"""Nats of KL below which z carries next to nothing of x."""

_NOTHING_IN_Z = "the posterior has collapsed, z carries next to nothing of x: try objective.warmup_epochs"


class StreamingWeights:
    """Accumulates (S, B) log weights chunk by chunk: log sum w, log sum w^2 and plain sums, in float64."""

    def __init__(self, num_examples: int, device: torch.device):
        self.count = 0
        empty = torch.full((num_examples,), -math.inf, dtype=torch.float64, device=device)
        self.log_sum, self.log_sum_squares = empty, empty.clone()
        self.sum = torch.zeros_like(empty)

    def add(self, log_w: Tensor) -> None:
        log_w = log_w.double()
        self.count += len(log_w)
        self.log_sum = torch.logaddexp(self.log_sum, log_w.logsumexp(0))
        self.log_sum_squares = torch.logaddexp(self.log_sum_squares, (2 * log_w).logsumexp(0))
        self.sum += log_w.sum(0)

    def join(self) -> None:
        """Takes in what the other processes have accumulated of other samples."""
        self.count = int(parallel.total(torch.tensor(self.count)))
        self.log_sum = parallel.gathered(self.log_sum).logsumexp(0)
        self.log_sum_squares = parallel.gathered(self.log_sum_squares).logsumexp(0)
        self.sum = parallel.total(self.sum)

    @property
    def log_mean(self) -> Tensor:
        """log 1/S sum_s w_s of each example."""
        return self.log_sum - math.log(self.count)

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 of each example, between 1 and S."""
        return torch.exp(2 * self.log_sum - self.log_sum_squares)

    def diagnostics(self) -> dict[str, float]:
        return sampling_diagnostics(self.effective_sample_size.cpu(), self.count)


def sampling_diagnostics(ess: Tensor, num_samples: int) -> dict[str, float]:
    """Effective sample sizes, (N,), and what they say of the mean over the examples.

    That is the standard error which the draws add to it, and its bias, which does not average out over the examples.
    Both miss the mass that no draw has hit.
    """
    low, median = ess.quantile(torch.tensor([0.05, 0.5], dtype=torch.float64)).tolist()
    excess = (1 / ess - 1 / num_samples).mean().clamp(min=0).item()
    return {
        "ess_median": median,
        "ess_5_percent": low,
        "monte_carlo_stderr": math.sqrt(excess / len(ess)),
        "bias": -0.5 * excess,
    }


@dataclass(frozen=True)
class ImportanceSampling(Estimator):
    """log 1/S sum_s p(x, z_s) / q(z_s | x), and with it the ELBO, its two terms and the active units.

    In expectation the estimate lies below log p(x) and rises with S, so S stands next to every number. An
    effective sample size near one says that it rests on a single draw: then it is low, and by how much is
    unknown.

    Args:
        num_samples: S for each example.
        max_rows: decoder rows at a time, which bounds the memory whatever S is.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_rows: int

    requires = {"model": LatentVariableModel}
    takes_corrupted = True

    def __post_init__(self):
        if min(self.num_samples, self.max_rows) < 1:
            raise ValueError("num_samples and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, data: Examples, report: Report = silent) -> list[Estimate]:
        p = model.latent_prior()  # once: a VampPrior encodes its pseudo-inputs here
        settings = {"num_samples": self.num_samples}
        progress = Finely(report, len(data), self.num_samples)

        def find(x: Tensor) -> dict[str, Tensor]:
            q = model.infer(x)
            settings.update(q.proposal_settings)
            return self._evaluate(model, x, q.proposal(), p, progress)

        rows = data.rows(min(self.max_rows, 100), find, progress)
        return self._estimates({name: values.cpu() for name, values in rows.items()}, data, settings)

    def _evaluate(
        self,
        model: LatentVariableModel,
        x: Tensor,
        q: Distribution,
        p: Distribution,
        progress: Finely,
    ) -> dict[str, Tensor]:
        weights = StreamingWeights(len(x), x.device)
        reconstruction = torch.zeros_like(weights.sum)
        kl = torch.zeros_like(weights.sum)
        chunk = max(1, self.max_rows // len(x))
        for first in range(0, self.num_samples, chunk):
            terms = model.score(x, q, p, min(chunk, self.num_samples - first))
            weights.add(terms.log_w)
            reconstruction += terms.log_px.double().sum(0)
            kl += (terms.log_qz.double() - terms.log_pz.double()).sum(0)
            progress.within(len(x), min(first + chunk, self.num_samples))
        first_mean, second_mean = q.two_means()
        return {
            "log_p": weights.log_mean,
            "elbo": weights.sum / self.num_samples,
            "reconstruction": reconstruction / self.num_samples,
            "kl": kl / self.num_samples,
            "ess": weights.effective_sample_size,
            "first_mean": first_mean.double(),
            "second_mean": second_mean.double(),
        }

    def _estimates(self, columns: dict[str, Tensor], data: Examples, settings: dict[str, Any]) -> list[Estimate]:
        n = len(data)
        columns |= {name: data.in_data_units(columns[name]) for name in ("log_p", "elbo", "reconstruction")}
        log_p = columns["log_p"]
        diagnostics = sampling_diagnostics(columns["ess"], self.num_samples)
        # a covariance of two means, not the variance of one: to that the noise of samples would add
        first, second = (columns[name] - columns[name].mean(0) for name in ("first_mean", "second_mean"))
        covariance = (first * second).sum(0) / max(n - 1, 1)
        active = float((covariance > ACTIVE_VARIANCE).sum())

        def estimate(quantity: str, kind: Kind, column: Tensor, estimator: str = "monte_carlo", **more) -> Estimate:
            return Estimate.over(column, quantity, estimator, kind, settings=settings, **more)

        collapsed = columns["kl"].mean().item() < COLLAPSED
        single = (
            "it rests on single draws and is low by an unknown amount: take more samples"
            if diagnostics["ess_median"] < 2
            else None
        )
        weighted = {"estimator": "importance_sampling", "diagnostics": diagnostics, "warning": single}
        return [
            estimate("log_likelihood", "estimate", log_p, **weighted),
            *rate(log_p, data, "importance_sampling", "estimate", settings=settings, diagnostics=diagnostics),
            estimate("elbo", "lower_bound", columns["elbo"]),
            estimate("reconstruction", "estimate", columns["reconstruction"]),
            estimate("kl", "estimate", columns["kl"], warning=_NOTHING_IN_Z if collapsed else None),
            Estimate(
                *("active_units", "posterior_means", "estimate", active, None, n),
                unit=f"of {len(covariance)}",
                settings={"min_variance": ACTIVE_VARIANCE},
            ),
        ]
