"""NICE flows: additive couplings, which preserve volume.

Source: L. Dinh et al., NICE: non-linear independent components estimation, 2014, https://arxiv.org/abs/1410.8516;
as a posterior: D. J. Rezende, S. Mohamed, Variational inference with normalizing flows, 2015,
https://arxiv.org/abs/1505.05770.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.flow import Step, freeze_network
from dgm_run.encoders.base import Encoder
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation, mlp
from dgm_run.networks.module_list import ModuleList
from dgm_run.posteriors.base import EvaluablePosterior
from dgm_run.posteriors.flow import FlowPosterior


class CouplingStep(Step):
    """Coupling (a, b) -> (b + m(a), a): the shifted part comes first, so that the next step shifts the other part.

    Args:
        network: m, from a and the context: (..., A + context_dim) -> (..., L - A).
        context: (*batch, context_dim).
        size: A, the dimensions that stay unchanged.
    """

    def __init__(self, network: nn.Module | Callable[[Tensor], Tensor], context: Tensor, size: int):
        self.network = network
        self.context = context
        self.size = size

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a = z[..., : self.size]
        b = z[..., self.size :]
        return torch.cat([b + self._shift(a), a], -1), z.new_zeros(())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        a = z[..., -self.size :]
        b = z[..., : -self.size] - self._shift(a)
        return torch.cat([a.expand(*b.shape[:-1], -1), b], -1), z.new_zeros(())

    def _shift(self, a: Tensor) -> Tensor:
        """Computes m(a), (*batch, L - A)."""
        batch = torch.broadcast_shapes(a.shape[:-1], self.context.shape[:-1])
        inputs = torch.cat([a.expand(*batch, -1), self.context.expand(*batch, -1)], -1)
        return self.network(inputs)

    def map(self, function: Callable[[Tensor], Tensor]) -> "CouplingStep":
        return CouplingStep(self.network, function(self.context), self.size)

    def detach(self) -> "CouplingStep":
        return CouplingStep(freeze_network(self.network), self.context.detach(), self.size)


class NICEFlowPosterior(FlowPosterior, EvaluablePosterior):
    """q(z | x) of additive couplings with a context from x.

    Args:
        encoder: computes the features.
        latent_dim: L, at least 2.
        log_var_range: interval of the initial Gaussian's log-variances.
        num_steps: T.
        hidden_dims: hidden layers of each coupling's network.
        activation: nonlinearity of these networks.
        context_dim: dimensions of the context that carries the features to the steps.

    Raises:
        ValueError: there is no step, no context, or only one latent dimension, which a coupling cannot split.
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
            raise ValueError(f"latent_dim = {latent_dim}: a coupling needs two dimensions or more")
        if context_dim < 1:
            raise ValueError(f"context_dim = {context_dim} must be positive: only the context carries x to the steps")
        super().__init__(encoder, latent_dim, log_var_range, num_steps, context_dim)
        self.sizes = []
        networks = []
        size = latent_dim // 2
        for _ in range(num_steps):
            self.sizes.append(size)
            inputs = size + context_dim
            output = linear(hidden_dims[-1] if hidden_dims else inputs, latent_dim - size)
            with torch.no_grad():
                output.weight.mul_(0.1)  # starts near the identity
            networks.append(nn.Sequential(mlp(inputs, hidden_dims, activation), output))
            size = latent_dim - size  # the next step keeps the shifted part
        self.networks = ModuleList(networks)

    def build_steps(self, params: Tensor) -> list[Step]:
        pairs = zip(self.networks, self.sizes, strict=True)
        return [CouplingStep(network, params, size) for network, size in pairs]
