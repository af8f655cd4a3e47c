"""Self-normalised importance sampling from q(z | x~).

Source: P.-A. Mattei, J. Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets, 2019,
https://arxiv.org/abs/1812.02633 (eqs. 12 to 14: the single imputation, and resampling for several).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption
from dgm_run.estimators.imputation.imputer import Imputations, Imputer, has_observed_density
from dgm_run.models.base import LatentVariableModel, effective_sample_size, log_mean_exp
from dgm_run.models.corrupted import CorruptedModel


@dataclass(frozen=True)
class ImportanceSampling(Imputer[LatentVariableModel]):
    """E[x | x~] = sum_s w_s E[x | x~, z_s] with the normalised importance weights of log p(x~).

    An encoder trained on complete examples alone may be far from p(z | x~): then the effective sample size is small.

    Args:
        num_samples: S for each example.
        max_batch_rows: decoder rows at a time.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_batch_rows: int

    requires = LatentVariableModel

    def __post_init__(self):
        if min(self.num_samples, self.max_batch_rows) < 1:
            raise ValueError("num_samples and max_batch_rows must be positive")

    def supports(self, model: nn.Module, corrupt: Corruption) -> bool:
        return super().supports(model, corrupt) and has_observed_density(model, corrupt)

    @torch.no_grad()
    def __call__(self, model: LatentVariableModel, x_tilde: Tensor, corrupt: Corruption, num_draws: int) -> Imputations:
        corrupted_model = CorruptedModel(model, corrupt)
        q = corrupted_model.infer(x_tilde).proposal()
        p = corrupted_model.latent_prior()
        chunk = max(1, self.max_batch_rows // len(x_tilde))
        sizes = [min(chunk, self.num_samples - first) for first in range(0, self.num_samples, chunk)]
        terms = [corrupted_model.evaluate_terms(x_tilde, q, p, size) for size in sizes]
        z = torch.cat([each.z for each in terms])
        log_w = torch.cat([each.log_w.double() for each in terms])

        weights = log_w.softmax(0).to(x_tilde.dtype)  # (S, B)
        mean = torch.zeros_like(x_tilde)
        for rows, share in zip(z.split(chunk), weights.split(chunk), strict=True):
            means = corrupt.posterior_of_x(model.decode(rows), x_tilde).mean
            mean += (share.view(*share.shape, *[1] * (x_tilde.dim() - 1)) * means).sum(0)

        chosen = torch.multinomial(weights.T, num_draws, replacement=True).T  # (K, B)
        resampled = z.gather(0, chosen.unsqueeze(-1).expand(-1, -1, z.shape[-1]))
        draws = corrupt.posterior_of_x(model.decode(resampled), x_tilde).sample()
        return Imputations(mean, draws, log_mean_exp(log_w), {"ess": effective_sample_size(log_w)})
