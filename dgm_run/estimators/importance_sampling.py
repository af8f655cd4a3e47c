"""log p(x) of a latent-variable model by importance sampling from q(z | x).

Source: D. J. Rezende et al., Stochastic backpropagation, 2014, https://arxiv.org/abs/1401.4082 (appendix E);
Y. Burda et al., Importance weighted autoencoders, 2016, https://arxiv.org/abs/1509.00519.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.models.base import LatentVariableModel

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active where Var_x E_q[z | x] exceeds this (Burda et al. 2016, section 5.2)."""


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

    @property
    def log_mean(self) -> Tensor:
        """log 1/S sum_s w_s of each example."""
        return self.log_sum - math.log(self.count)

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 of each example, between 1 and S."""
        return torch.exp(2 * self.log_sum - self.log_sum_squares)


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

    def __post_init__(self):
        if min(self.num_samples, self.max_rows) < 1:
            raise ValueError("num_samples and max_rows must be positive")

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, data: Examples, report: Report = silent) -> list[Estimate]:
        p = model.latent_prior()  # once: a VampPrior encodes its pseudo-inputs here
        block = min(self.max_rows, 100)
        rows = {"log_p": [], "elbo": [], "reconstruction": [], "kl": [], "ess": [], "mean": []}
        for start in range(0, len(data), block):
            x = data.batch(slice(start, start + block))
            self._evaluate(model, x, p, rows)
            report(min(start + block, len(data)), len(data))
        columns = {name: torch.cat(values).cpu() for name, values in rows.items()}
        return self._estimates(columns, math.prod(data.x.shape[1:]))

    def _evaluate(self, model: LatentVariableModel, x: Tensor, p: torch.distributions.Distribution, rows: dict):
        q = model.infer(x)
        weights = StreamingWeights(len(x), x.device)
        reconstruction = torch.zeros_like(weights.sum)
        kl = torch.zeros_like(weights.sum)
        chunk = max(1, self.max_rows // len(x))
        for first in range(0, self.num_samples, chunk):
            terms = model.score(x, q, p, min(chunk, self.num_samples - first))
            weights.add(terms.log_w)
            reconstruction += terms.log_px.double().sum(0)
            kl += (terms.log_qz.double() - terms.log_pz.double()).sum(0)
        rows["log_p"].append(weights.log_mean)
        rows["elbo"].append(weights.sum / self.num_samples)
        rows["reconstruction"].append(reconstruction / self.num_samples)
        rows["kl"].append(kl / self.num_samples)
        rows["ess"].append(weights.effective_sample_size)
        rows["mean"].append(q.mean.double())

    def _estimates(self, columns: dict[str, Tensor], num_dims: int) -> list[Estimate]:
        n, s = len(columns["log_p"]), self.num_samples
        ess = columns["ess"].quantile(torch.tensor([0.05, 0.5], dtype=torch.float64))
        settings = {"num_samples": s}
        diagnostics = {"ess_median": ess[1].item(), "ess_5_percent": ess[0].item()}

        def estimate(quantity: str, estimator: str, kind: str, column: Tensor, **more) -> Estimate:
            return Estimate(quantity, estimator, kind, *mean_and_stderr(column), n, **more)

        log_p = columns["log_p"]
        bits = -log_p / (num_dims * math.log(2))
        dims = columns["mean"]
        active = (dims.var(0) > ACTIVE_VARIANCE).sum().item() if n > 1 else 0
        sampled = {"settings": settings | diagnostics}
        return [
            estimate("log_likelihood", "importance_sampling", "estimate", log_p, **sampled),
            estimate("bits_per_dim", "importance_sampling", "estimate", bits, unit="bits", **sampled),
            estimate("elbo", "monte_carlo", "lower_bound", columns["elbo"], settings=settings),
            estimate("reconstruction", "monte_carlo", "estimate", columns["reconstruction"], settings=settings),
            estimate("kl", "monte_carlo", "estimate", columns["kl"], settings=settings),
            Estimate(
                "active_units",
                "posterior_means",
                "exact",
                float(active),
                None,
                n,
                unit=f"of {dims.shape[-1]}",
                settings={"min_variance": ACTIVE_VARIANCE},
            ),
        ]
