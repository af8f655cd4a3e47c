"""Sylvester flows.

Source: R. van den Berg et al., Sylvester normalizing flows for variational inference, 2018,
https://arxiv.org/abs/1803.05649.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from dgm_run.distributions.flow import Step
from dgm_run.encoders.base import Encoder
from dgm_run.posteriors.flow import FlowPosterior

Kind = Literal["orthogonal", "householder", "triangular"]

MAX_DIAGONAL = 1 - 1e-5
"""Largest absolute value on the diagonals of R and S: at one the Jacobian may be singular."""

DEFAULT_VECTORS = 16


class SylvesterStep(Step):
    """Sylvester step z + Q R tanh(S Q'z + b), invertible because R_ii S_ii > -1.

    Q has orthonormal columns; R and S are upper triangular.

    Args:
        q: (*batch, L, M) with M <= L.
        r: (*batch, M, M).
        s: (*batch, M, M).
        b: (*batch, M).
    """

    def __init__(self, q: Tensor, r: Tensor, s: Tensor, b: Tensor):
        self.q = q
        self.r = r
        self.s = s
        self.b = b

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        inner = torch.einsum("...lm,...l->...m", self.q, z)
        h = torch.tanh(torch.einsum("...mn,...n->...m", self.s, inner) + self.b)
        outer = torch.einsum("...mn,...n->...m", self.r, h)
        diagonal = self.r.diagonal(dim1=-2, dim2=-1) * self.s.diagonal(dim1=-2, dim2=-1)
        log_det = torch.log1p((1 - h.square()) * diagonal).sum(-1)
        return z + torch.einsum("...lm,...m->...l", self.q, outer), log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "SylvesterStep":
        return SylvesterStep(function(self.q), function(self.r), function(self.s), function(self.b))


class SylvesterFlowPosterior(FlowPosterior):
    """q(z | x) of Sylvester steps with parameters that depend on x.

    Q has one of three kinds. `orthogonal` takes M orthonormal columns from a QR decomposition. `householder` is a
    product of `num_vectors` reflections. `triangular` alternates between identity and reversal. The last two have L
    columns.

    Args:
        encoder: computes the features.
        latent_dim: L.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T.
        kind: kind of Q: orthogonal | householder | triangular.
        num_vectors: columns M of an orthogonal Q, or reflections of a householder Q; unused for triangular. null gives
            the smaller of `DEFAULT_VECTORS` and L.

    Raises:
        ValueError: an orthogonal Q has no column, or more than L; there is no reflection.
    """

    upper: Tensor

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        log_var_range: Sequence[float],
        num_steps: int,
        kind: Kind,
        num_vectors: int | None,
    ):
        if num_vectors is None:
            num_vectors = min(DEFAULT_VECTORS, latent_dim)
        if kind == "orthogonal" and not 1 <= num_vectors <= latent_dim:
            raise ValueError(f"num_vectors = {num_vectors} must lie between 1 and latent_dim = {latent_dim}")
        if kind == "householder" and num_vectors < 1:
            raise ValueError(f"num_vectors = {num_vectors}: kind=householder needs at least one reflection")
        rank = num_vectors if kind == "orthogonal" else latent_dim
        self.num_q_params = 0 if kind == "triangular" else latent_dim * num_vectors
        super().__init__(
            encoder, latent_dim, log_var_range, num_steps, num_steps * (self.num_q_params + rank * (rank + 2))
        )
        self.kind = kind
        self.rank = rank
        self.register_buffer("upper", torch.triu(torch.ones(rank, rank), 1), persistent=False)

    def build_steps(self, params: Tensor) -> list[Step]:
        return [self._build_step(p, index) for index, p in enumerate(params.chunk(self.num_steps, -1))]

    def _build_step(self, params: Tensor, index: int) -> SylvesterStep:
        m = self.rank
        q_params, square, diagonals, b = params.split([self.num_q_params, m * m - m + m, m, m], -1)
        square = square.unflatten(-1, (m, m))
        # one square matrix holds R on and above its diagonal and S' below it; both diagonals lie within (-1, 1)
        r = square * self.upper + torch.diag_embed(MAX_DIAGONAL * torch.tanh(square.diagonal(dim1=-2, dim2=-1)))
        s = square.mT * self.upper + torch.diag_embed(MAX_DIAGONAL * torch.tanh(diagonals))
        return SylvesterStep(self._build_q(q_params, index), r, s, b)

    def _build_q(self, q_params: Tensor, index: int) -> Tensor:
        """Builds the Q of step `index`, (*batch, L, rank)."""
        identity = torch.eye(self.latent_dim, dtype=q_params.dtype, device=q_params.device)
        if self.kind == "orthogonal":
            # adds the identity, because a zero matrix, as of a black image, has no gradient
            return torch.linalg.qr(identity[:, : self.rank] + q_params.unflatten(-1, (self.latent_dim, self.rank))).Q
        identity = identity.expand(*q_params.shape[:-1], -1, -1)
        if self.kind == "triangular":
            return identity.flip(-1) if index % 2 else identity
        q = identity
        for v in q_params.unflatten(-1, (-1, self.latent_dim)).unbind(-2):
            v = v / (v.norm(dim=-1, keepdim=True) + 1e-12)
            projection = torch.einsum("...j,...jk->...k", v, q).unsqueeze(-2)  # avoids an L x L product
            q = q - 2 * v.unsqueeze(-1) * projection
        return q
