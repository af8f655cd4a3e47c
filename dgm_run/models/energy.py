"""Energy models: p(x) = exp(-F(x)) / Z, and the path on which Z is found."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.errors import ConfigError
from dgm_run.images import pairs


class EnergyModel(nn.Module, ABC):
    """p(x) = exp(-F(x)) / Z, F the free energy: hidden units are summed out.

    The model stands at the end of a path of densities f_beta, from f_0, independent pixels with the means of the
    training data, whose Z is known, to f_1 = exp(-F). Sampling, training and the estimate of Z walk on it.

    What x sends to the hidden units, the `fields`, costs the one product of matrices on the way, so it is made
    once and handed to all that need it.

    Attributes:
        shape: of one example.
        error_measure: of a reconstruction, cross_entropy or squared_error.
    """

    shape: tuple[int, ...]
    error_measure: str

    @abstractmethod
    def initialize(self, x: Tensor) -> None:
        """Sets what starts from the training data: the base of the path and, if so set, the visible biases."""

    @abstractmethod
    def fields(self, x: Tensor) -> Tensor:
        """What reaches the hidden units: (B, *shape) -> (B, M) or more axes."""

    @abstractmethod
    def log_density(self, x: Tensor, fields: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """log f_beta(x), not normalised: (B,), nats. `beta` is one number, or one for each x, (B,)."""

    @abstractmethod
    def gibbs_step(self, x: Tensor, fields: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """A sweep of Gibbs sampling from x with these fields, which leaves f_beta as it is: (B, *shape)."""

    @abstractmethod
    def hidden_means(self, fields: Tensor) -> Tensor:
        """p(h = 1 | x), the features of x: (B, M); M is zero where there are no hidden units."""

    @abstractmethod
    def visible_means(self, fields: Tensor) -> Tensor:
        """The mean of p(x | h) at one draw of p(h | x), (B, *shape)."""

    @abstractmethod
    def reconstruction_error(self, x: Tensor, fields: Tensor) -> Tensor:
        """How far x is from its `visible_means`, in `error_measure`, (B,). It is no likelihood."""

    @abstractmethod
    def gradient(self, x: Tensor, fields: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """sum_i weights_i dF(x_i) / d theta for every parameter, by name; weights (B,)."""

    def centered(self, gradient: dict[str, Tensor], visible_mean: Tensor, hidden_mean: Tensor) -> dict[str, Tensor]:
        """The gradient with respect to centered units, told in these parameters: `objectives/energy.py`."""
        raise ConfigError(f"{type(self).__name__} has no centered gradient: set objective.centering_rate=null")

    @abstractmethod
    def sample_base(self, n: int) -> Tensor:
        """n draws from f_0, (n, *shape)."""

    @abstractmethod
    def log_base_partition(self) -> Tensor:
        """log of the sum or integral of f_0, a scalar in float64."""

    @abstractmethod
    def log_baseline(self, x: Tensor) -> Tensor:
        """log p(x) of independent pixels fitted to the training data, which a model has to beat: (B,), nats."""

    @property
    @abstractmethod
    def log2_states(self) -> float:
        """How many terms `log_partition` sums, as a power of two."""

    @abstractmethod
    def log_partition(self) -> Tensor:
        """log Z by enumeration, a scalar in float64."""

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) = -log f_1(x), (B,), nats."""
        return -self.log_density(x, self.fields(x))

    def features(self, x: Tensor) -> Tensor:
        """p(h = 1 | x), (B, M)."""
        return self.hidden_means(self.fields(x))

    def gibbs(self, x: Tensor, num_steps: int, fields: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`num_steps` sweeps from x; the state they end in, (B, *shape), and its fields."""
        fields = self.fields(x) if fields is None else fields
        for _ in range(num_steps):
            x = self.gibbs_step(x, fields)
            fields = self.fields(x)
        return x, fields

    @torch.no_grad()
    def anneal(self, n: int, num_steps: int) -> tuple[Tensor, Tensor]:
        """n chains led from the base to the model in `num_steps` sweeps; their states and fields."""
        x = self.sample_base(n)
        fields = self.fields(x)
        for step in range(num_steps):
            x = self.gibbs_step(x, fields, (step + 1) / num_steps)
            fields = self.fields(x)
        return x, fields

    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """n draws, (n, *shape), each the end of a chain of its own."""
        return self.anneal(n, num_steps)[0]

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, num_steps: int) -> Tensor:
        """Draws of the pixels that were not observed, given those that were, by block Gibbs sampling.

        Args:
            x: (B, *shape); its observed pixels stay, and the others are where the chain starts.
            observed: True where a pixel is known; broadcasts against x.
            num_steps: sweeps.
        """
        state = x
        for _ in range(num_steps):
            state = torch.where(observed, x, self.gibbs_step(state, self.fields(state)))
        return state

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | h) at one draw of p(h | x), (B, *shape)."""
        return self.visible_means(self.fields(x))

    @torch.no_grad()
    def pictures(self, x: Tensor) -> dict[str, Tensor]:
        """Chains of the model, as means and as draws, and x above its reconstruction, each (N, *shape)."""
        draws, fields = self.anneal(64, 500)
        x = x[:32]
        return {
            "samples": self.visible_means(fields),
            "samples_drawn": draws,
            "reconstructions": pairs(x, self.reconstruct(x), columns=8),
        }


class BinaryEnergyModel(EnergyModel):
    """Of binary pixels: the path starts at Bernoulli pixels by the logits `base_logits`, (D,), of the training means.

    Args:
        shape: of one example.
        visible_bias: logit_mean starts the visible biases at the logits of the training means, zero at zero.
    """

    takes = ("binary",)
    error_measure = "cross_entropy"
    visible_bias: nn.Parameter

    def __init__(self, shape: Sequence[int], visible_bias: Literal["logit_mean", "zero"]):
        super().__init__()
        self.shape, dim = tuple(shape), math.prod(shape)
        self.starts_at_means = visible_bias == "logit_mean"
        self.visible_bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("base_logits", torch.zeros(dim))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        self.base_logits.copy_(torch.logit((x.flatten(1).sum(0) + 0.5) / (len(x) + 1)))
        if self.starts_at_means:
            self.visible_bias.copy_(self.base_logits)

    def visible_log_density(self, x: Tensor, beta: float | Tensor) -> Tensor:
        """((1 - beta) b_0 + beta b)'x, (B,)."""
        x = x.flatten(1)
        if isinstance(beta, Tensor):
            return beta * dot(x, self.visible_bias) + (1 - beta) * dot(x, self.base_logits)
        return dot(x, torch.lerp(self.base_logits, self.visible_bias, beta))

    def sample_base(self, n: int) -> Tensor:
        return rng.bernoulli(self.base_logits.sigmoid().expand(n, -1)).unflatten(-1, self.shape)

    def log_visible_base_partition(self) -> Tensor:
        """log of the sum of exp(b_0'x), a scalar in float64."""
        return F.softplus(self.base_logits.double()).sum()

    def log_baseline(self, x: Tensor) -> Tensor:
        return dot(x.flatten(1), self.base_logits) - F.softplus(self.base_logits).sum()

    def reconstruction_error(self, x: Tensor, fields: Tensor) -> Tensor:
        return F.binary_cross_entropy(self.visible_means(fields), x, reduction="none").flatten(1).sum(1)


def affine(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """bias + x weight, in the type of x: densities and draws stay in full precision where products are in half."""
    return torch.addmm(bias, x, weight).to(x.dtype)


def dot(x: Tensor, b: Tensor) -> Tensor:
    """x b of every row in the type of x: (B, D), (D,) -> (B,)."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ b


def column(beta: float | Tensor, num_dims: int = 2) -> float | Tensor:
    """One beta for each row, (B,), ready to multiply a tensor of `num_dims` axes."""
    return beta.view(-1, *[1] * (num_dims - 1)) if isinstance(beta, Tensor) else beta


def mix(base: Tensor, end: Tensor, beta: float | Tensor) -> Tensor:
    """(1 - beta) base + beta end for rows `end`, (B, D); at the end of the path, `end` itself."""
    return end if isinstance(beta, float) and beta == 1 else torch.lerp(base, end, column(beta))


def filters(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The first columns of a weight matrix, (D, M), as images around grey, (N, *shape)."""
    columns = weight.detach().T[:64]
    scale = columns.abs().amax(1, keepdim=True).clamp(min=1e-12)
    return (0.5 + 0.5 * columns / scale).unflatten(-1, shape)


def binary_states(num_bits: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Rows start .. stop - 1 of the list of all binary vectors, (stop - start, num_bits), in float64."""
    index = torch.arange(start, stop, device=device)
    return ((index.unsqueeze(1) >> torch.arange(num_bits, device=device)) & 1).double()


def log_sum_over_states(num_bits: int, log_weight: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """log sum_s exp log_weight(s) over all s in {0, 1}^num_bits, in blocks; float64."""
    total, block = torch.tensor(-math.inf, dtype=torch.float64, device=device), 1 << 13
    for start in range(0, 1 << num_bits, block):
        states = binary_states(num_bits, start, min(start + block, 1 << num_bits), device)
        total = torch.logaddexp(total, log_weight(states).logsumexp(0))
    return total


def flip_one(x: Tensor) -> Tensor:
    """A copy of binary x, (B, *shape), with one pixel of each example flipped, drawn uniformly."""
    flat = x.flatten(1).clone()
    index = torch.randint(flat.shape[1], (len(flat), 1), device=x.device)
    return flat.scatter_(1, index, 1 - flat.gather(1, index)).view_as(x)
