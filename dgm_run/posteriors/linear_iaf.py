"""Convex combination linear inverse autoregressive flow, which preserves volume.

Source: J. M. Tomczak, M. Welling, Improving variational auto-encoders using convex combination linear inverse
autoregressive flow, 2017, https://arxiv.org/abs/1706.02326.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.posteriors.base import EvaluablePosterior
from dgm_run.posteriors.flow import FlowPosterior


class TriangularStep(Step):
    """Linear map A z, with A lower triangular and ones on its diagonal.

    Args:
        matrix: (*batch, L, L).
    """

    def __init__(self, matrix: Tensor):
        self.matrix = matrix

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.einsum("...ij,...j->...i", self.matrix, z), z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        # inverts once for all z, because a solver would copy the matrix for each
        identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device).expand_as(self.matrix)
        inverse = torch.linalg.solve_triangular(self.matrix, identity, upper=False, unitriangular=True)
        return torch.einsum("...ij,...j->...i", inverse, z), z.new_zeros(())

    def map(self, function: Callable[[Tensor], Tensor]) -> "TriangularStep":
        return TriangularStep(function(self.matrix))


class LinearIAFPosterior(FlowPosterior, EvaluablePosterior):
    """q(z | x) of z = sum_k y_k L_k z_0, a convex combination of K unit lower triangular matrices L_k.

    The entries of L_k and the logits of y are linear in the features.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_matrices: K; K = 1 gives a Gaussian with a full covariance.

    Raises:
        ValueError: there is no matrix.
    """

    below_diagonal: Tensor

    def __init__(self, encoder: Encoder, latent_dim: int, log_var_range: Sequence[float], num_matrices: int):
        if num_matrices < 1:
            raise ValueError(f"num_matrices = {num_matrices} must be positive")
        self.num_entries = latent_dim * (latent_dim - 1) // 2
        super().__init__(encoder, latent_dim, log_var_range, 1, num_matrices * (self.num_entries + 1))
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.register_buffer("below_diagonal", rows * latent_dim + columns, persistent=False)

    def build_steps(self, params: Tensor) -> list[Step]:
        params = params.unflatten(-1, (-1, self.num_entries + 1))  # (*batch, K, entries of L_k and logit of y_k)
        y = params[..., -1].softmax(-1).unsqueeze(-1)  # (*batch, K, 1)
        entries = (y * params[..., :-1]).sum(-2)
        identity = torch.eye(self.latent_dim, dtype=params.dtype, device=params.device)
        flat = identity.flatten().expand(*entries.shape[:-1], -1)
        matrix = flat.index_copy(-1, self.below_diagonal, entries).unflatten(-1, identity.shape)
        return [TriangularStep(matrix)]
