"""Restricted Boltzmann machine with real-valued pixels.

Source: K. Cho, A. Ilin, T. Raiko, Improved learning of Gaussian-Bernoulli restricted Boltzmann machines, 2011 (the
energy, and variances learned by their logarithms).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.distributions.diagonal_gaussian import LOG_2PI
from dgm_run.models.energy.base import EnergyModel, affine, expand_beta, scale_preactivations
from dgm_run.models.energy.binary_states import BinaryHiddenUnits
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.networks.products import multiply

MIN_SCALE = 1e-3
"""Least scale of a constant pixel, as a fraction of the standard deviation of all pixels."""


class GaussianRBM(BinaryHiddenUnits, EnergyModel):
    """E(x, h) = sum_i (u_i - b_i)^2 / (2 s_i^2) - sum_ij W_ij h_j u_i / s_i^2 - c'h, u the standardised pixels.

    u given h is N(b + W h, s^2), and p(h_j = 1 | u) = sigmoid(c_j + sum_i W_ij u_i / s_i^2). So p(u) is a mixture of
    2^M Gaussians with one diagonal covariance. The model keeps means and standard deviations of the training data for
    standardisation; its densities are those of x itself. The path scales W, c and b by beta.

    Args:
        shape: shape of one example.
        num_hidden: M.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); b starts at zero, s^2 at one.
        init_ratio: initial weight of a component with one active hidden unit, relative to that with none: c_j =
            log init_ratio - |W_j|^2 / 2, after Melchior, Wang & Wiskott 2017; null for c = 0.
        learn_variance: whether s^2 is learned, or stays at the variances of the data.
        min_scale: least s; without a limit, the density of a constant pixel is unbounded.

    Raises:
        ValueError: there is no hidden unit, or the limit is not positive.
    """

    data_mean: Tensor
    data_scale: Tensor
    log_var: Tensor

    takes = ("continuous",)

    def __init__(
        self,
        shape: Sequence[int],
        num_hidden: int,
        init_scale: float,
        init_ratio: float | None,
        learn_variance: bool,
        min_scale: float,
    ):
        super().__init__()
        if min_scale <= 0:
            raise ValueError(f"min_scale = {min_scale} must be positive")
        self.min_log_var = 2 * math.log(min_scale)
        if num_hidden < 1:
            raise ValueError(f"num_hidden = {num_hidden} must be positive")
        if init_ratio is not None and init_ratio <= 0:
            raise ValueError(f"init_ratio = {init_ratio} must be positive, or null")
        self.shape = tuple(shape)
        dim = math.prod(shape)
        self.weight = nn.Parameter(init_scale * torch.randn(dim, num_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(dim))
        bias = 0.0 if init_ratio is None else math.log(init_ratio) - 0.5 * self.weight.detach().square().sum(0)
        self.hidden_bias = nn.Parameter(bias + torch.zeros(num_hidden))
        if learn_variance:
            self.log_var = nn.Parameter(torch.zeros(dim))
        else:
            self.register_buffer("log_var", torch.zeros(dim))
        self.register_buffer("data_mean", torch.zeros(dim))
        self.register_buffer("data_scale", torch.ones(dim))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        self.data_mean.copy_(x.flatten(1).mean(0))
        self.data_scale.copy_(x.flatten(1).std(0).clamp(min=MIN_SCALE * x.std()))

    def _standardise(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.data_mean) / self.data_scale

    def _to_data_units(self, u: Tensor) -> Tensor:
        return torch.addcmul(self.data_mean, self.data_scale, u).unflatten(-1, self.shape)

    @torch.no_grad()
    def project_parameters(self) -> None:
        self.log_var.clamp_(min=self.min_log_var)

    def preactivations(self, state: Tensor) -> Tensor:
        return affine(self.hidden_bias, self._standardise(state) * torch.exp(-self.log_var), self.weight)

    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        deviation = self._standardise(state) - expand_beta(beta) * self.visible_bias
        squares = (deviation.square() * torch.exp(-self.log_var)).sum(-1)
        return self.hidden_term(state, preactivations, beta) - 0.5 * squares - self.data_scale.log().sum()

    def log_ratio(self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
        precision = torch.exp(-self.log_var)
        linear = (self._standardise(state) * (precision * self.visible_bias)).sum(-1)
        square = 0.5 * (precision * self.visible_bias.square()).sum()
        increase = self.hidden_term_increase(state, preactivations, beta, other)
        return increase + (other - beta) * (linear - (other + beta) * square)

    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        mean = self._visible_means(preactivations, beta)
        return self._to_data_units(torch.addcmul(mean, torch.exp(0.5 * self.log_var), torch.randn_like(mean)))

    def visible_means(self, state: Tensor, preactivations: Tensor) -> Tensor:
        return self._to_data_units(self._visible_means(preactivations, 1.0))

    def _visible_means(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        h = rng.bernoulli(scale_preactivations(preactivations, beta).sigmoid())
        return expand_beta(beta) * affine(self.visible_bias, h, self.weight.T)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        u = self._standardise(state)
        precision = torch.exp(-self.log_var)
        h = preactivations.sigmoid()
        weighted = h * weights.unsqueeze(-1)
        deviation = u - self.visible_bias
        found = {
            "weight": -precision.unsqueeze(-1) * multiply(u.T, weighted),
            "visible_bias": -precision * (weights @ deviation),
            "hidden_bias": -weighted.sum(0),
        }
        if isinstance(self.log_var, nn.Parameter):
            pull = u * multiply(h, self.weight.T) - 0.5 * deviation.square()  # (B, D)
            found["log_var"] = precision * (weights @ pull)
        return found

    def center_gradient(
        self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor
    ) -> dict[str, Tensor]:
        b = gradient["visible_bias"]
        c = gradient["hidden_bias"]
        # the energy multiplies W by u / s^2
        scaled_mean = self._standardise(state_mean.unsqueeze(0)).squeeze(0) * torch.exp(-self.log_var)
        weight = gradient["weight"].addr(scaled_mean, c, alpha=-1).addr_(b, hidden_mean, alpha=-1)
        return gradient | {
            "weight": weight,
            "visible_bias": b - weight @ hidden_mean,
            "hidden_bias": c - weight.T @ scaled_mean,
        }

    def sample_base(self, n: int) -> Tensor:
        scale = torch.exp(0.5 * self.log_var).expand(n, -1)
        return self._to_data_units(scale * torch.randn_like(scale))

    def log_base_partition(self) -> Tensor:
        return 0.5 * (self.log_var.double() + LOG_2PI).sum() + len(self.hidden_bias) * math.log(2)

    def log_baseline(self, x: Tensor) -> Tensor:
        return -0.5 * (self._standardise(x).square() + LOG_2PI).sum(-1) - self.data_scale.log().sum()

    @property
    def log2_states(self) -> float:
        return len(self.hidden_bias)

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        weight = self.weight.double()
        b = self.visible_bias.double()
        c = self.hidden_bias.double()
        log_var = self.log_var.double()
        precision = torch.exp(-log_var)

        def log_weight(h: Tensor) -> Tensor:
            shift = h @ weight.T  # (N, D)
            return h @ c + (shift * (0.5 * shift + b)) @ precision

        return log_sum_over_states(len(c), log_weight, c.device) + 0.5 * (log_var + LOG_2PI).sum()

    def filters(self) -> Tensor:
        return self.weight
