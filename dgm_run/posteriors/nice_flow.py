"""Additive couplings, which preserve volume.

Source: L. Dinh et al., NICE: non-linear independent components estimation, 2014, https://arxiv.org/abs/1410.8516;
as a posterior: D. J. Rezende, S. Mohamed, Variational inference with normalizing flows, 2015.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.flow import Step, frozen
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, mlp
from dgm_run.networks.module_list import ModuleList
from dgm_run.posteriors.base import EvaluablePosterior
from dgm_run.posteriors.flow import FlowPosterior


class CouplingStep(Step):
    """(a, b) -> (b + m(a), a): what was moved comes first, so that the next step moves the other part.

    Args:
        network: (..., A + C) -> (..., L - A), m of a and the context.
        context: (*batch, C).
        size: A, the dimensions that stay.
    """

    def __init__(self, network: nn.Module | Callable[[Tensor], Tensor], context: Tensor, size: int):
        self.network, self.context, self.size = network, context, size

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        stays, moves = z[..., : self.size], z[..., self.size :]
        return torch.cat([moves + self._shift(stays), stays], -1), z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        stays, moved = z[..., -self.size :], z[..., : -self.size]
        moves = moved - self._shift(stays)
        return torch.cat([stays.expand(*moves.shape[:-1], -1), moves], -1), z.new_zeros(())

    def _shift(self, stays: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(stays.shape[:-1], self.context.shape[:-1])
        both = torch.cat([stays.expand(*batch, -1), self.context.expand(*batch, -1)], -1)
        return self.network(both)

    def map(self, function: Callable[[Tensor], Tensor]) -> "CouplingStep":
        return CouplingStep(self.network, function(self.context), self.size)

    def detach(self) -> "CouplingStep":
        return CouplingStep(frozen(self.network), self.context.detach(), self.size)


class NICEFlowPosterior(FlowPosterior, EvaluablePosterior):
    """q(z | x) by additive couplings that hear of x through a context.

    Args:
        encoder: gives the features.
        latent_dim: L, at least 2.
        log_var_range: of the Gaussian at the start of the flow.
        num_steps: T.
        hidden_dims: of the network of every coupling.
        activation: its nonlinearity.
        context_dim: numbers by which the features reach the steps.

    Raises:
        ValueError: there is no step, no context, or one dimension alone, which has nothing to be coupled to.
    """

    def __init__(
        self,
        encoder: Encoder,
        latent_dim: int,
        log_var_range: Sequence[float],
        num_steps: int,
        hidden_dims: Sequence[int],
        activation: Activation,
        context_dim: int,
    ):
        if latent_dim < 2:
            raise ValueError(f"latent_dim = {latent_dim}: a coupling needs two dimensions")
        if context_dim < 1:
            raise ValueError(f"context_dim = {context_dim}: without a context the steps hear nothing of x")
        super().__init__(encoder, latent_dim, log_var_range, num_steps, context_dim)
        self.sizes, networks = [], []
        size = latent_dim // 2
        for _ in range(num_steps):
            self.sizes.append(size)
            inputs = size + context_dim
            output = linear(hidden_dims[-1] if hidden_dims else inputs, latent_dim - size)
            with torch.no_grad():
                output.weight.mul_(0.1)  # near the identity at the start
            networks.append(nn.Sequential(mlp(inputs, hidden_dims, activation), output))
            size = latent_dim - size  # what was moved stays next
        self.networks = ModuleList(networks)

    def steps(self, params: Tensor) -> list[Step]:
        pairs = zip(self.networks, self.sizes, strict=True)
        return [CouplingStep(network, params, size) for network, size in pairs]
