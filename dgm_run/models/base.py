"""What a model can be: the kinds that objectives and estimators ask for."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.errors import ConfigError
from dgm_run.images import pairs


class Terms(NamedTuple):
    """One evaluation of log p(x, z) - log q(z | x) at samples z of q.

    Attributes:
        q: q(z | x), batch shape (B,).
        p: p(z), batch shape ().
        z: (S, B, L).
        log_px: log p(x | z), (S, B), nats.
        log_pz: log p(z), (S, B).
        log_qz: log q(z | x), (S, B).
    """

    q: Distribution
    p: Distribution
    z: Tensor
    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor

    @property
    def log_w(self) -> Tensor:
        """Log importance weights log p(x, z) - log q(z | x), (S, B)."""
        return self.log_px + (self.log_pz - self.log_qz)


class LatentVariableModel(nn.Module, ABC):
    """p(x) = integral of p(x | z) p(z) dz with an approximate posterior q(z | x).

    A model gives the three densities; everything else follows. ELBO, importance-weighted and Renyi bounds and
    the likelihood estimate are each a line or two on `terms`.
    """

    @abstractmethod
    def infer(self, x: Tensor) -> Distribution:
        """q(z | x): (B, *shape) -> batch shape (B,)."""

    @abstractmethod
    def latent_prior(self) -> Distribution:
        """p(z), batch shape ()."""

    @abstractmethod
    def decode(self, z: Tensor) -> Distribution:
        """p(x | z): (*batch, L) -> batch shape (*batch,)."""

    def infer_with_prior(self, x: Tensor) -> tuple[Distribution, Distribution]:
        """q(z | x) and p(z), for models that get both cheaper than one by one."""
        return self.infer(x), self.latent_prior()

    def score(self, x: Tensor, q: Distribution, p: Distribution, num_samples: int) -> Terms:
        """The terms at `num_samples` fresh samples of q, with q and p made by the caller: an evaluation
        builds p once for all data and q once for all samples of a batch.
        """
        z, log_qz = q.rsample_and_log_prob((num_samples,))  # (S, B, L), (S, B)
        return Terms(q, p, z, self.decode(z).log_prob(x), p.log_prob(z), log_qz)

    def terms(self, x: Tensor, num_samples: int) -> Terms:
        """The terms of log p(x, z_s) - log q(z_s | x) for S samples of each example."""
        return self.score(x, *self.infer_with_prior(x), num_samples)

    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x, z_s) - log q(z_s | x), (S, B): the mean of their exponentials is an unbiased p(x)."""
        return self.terms(x, num_samples).log_w

    @torch.no_grad()
    def generate(self, n: int) -> Distribution:
        """p(x | z) at n draws of the prior; its mean is the picture, its sample the draw."""
        return self.decode(self.latent_prior().sample((n,)))

    def sample(self, n: int) -> Tensor:
        """n draws from p(x), (n, *shape)."""
        return self.generate(n).sample()

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at one draw of q(z | x), (B, *shape)."""
        return self.decode(self.infer(x).sample()).mean

    @torch.no_grad()
    def pictures(self, x: Tensor) -> dict[str, Tensor]:
        """What there is to see, each (N, *shape): means and draws of samples, and x above its reconstruction."""
        p_x = self.generate(64)
        x = x[:32]
        return {
            "samples": p_x.mean,
            "samples_drawn": p_x.sample(),
            "reconstructions": pairs(x, self.reconstruct(x), columns=8),
        }


class EnergyModel(nn.Module, ABC):
    """p(x) = exp(-F(x)) / Z, F the free energy: hidden units are summed out.

    The model stands at the end of a path of densities f_beta, from f_0, independent pixels with the means of the
    training data, whose Z is known, to f_1 = exp(-F). Sampling, training and the estimate of Z walk on it.

    What x sends to the hidden units, the `fields`, costs the one product of matrices on the way, so it is made
    once and handed to all that need it.

    Attributes:
        shape: of one example.
    """

    shape: tuple[int, ...]

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
    def gibbs_step(self, fields: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """A sweep of block Gibbs sampling from x with these fields, which leaves f_beta as it is: (B, *shape)."""

    @abstractmethod
    def hidden_means(self, fields: Tensor) -> Tensor:
        """p(h = 1 | x), the features of x: (B, M)."""

    @abstractmethod
    def visible_means(self, fields: Tensor) -> Tensor:
        """The mean of x after half a sweep: E p(x | h) at one draw of p(h | x), (B, *shape)."""

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
    def log_base_probability(self, x: Tensor) -> Tensor:
        """log of f_0 normalised, without its hidden units: the baseline that a model has to beat, (B,), nats."""

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
            x = self.gibbs_step(fields)
            fields = self.fields(x)
        return x, fields

    @torch.no_grad()
    def anneal(self, n: int, num_steps: int) -> tuple[Tensor, Tensor]:
        """n chains led from the base to the model in `num_steps` sweeps; their states and fields."""
        x = self.sample_base(n)
        fields = self.fields(x)
        for step in range(num_steps):
            x = self.gibbs_step(fields, (step + 1) / num_steps)
            fields = self.fields(x)
        return x, fields

    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """n draws, (n, *shape), each the end of a chain of its own."""
        return self.anneal(n, num_steps)[0]

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, num_steps: int) -> Tensor:
        """Draws of the pixels that were not observed, given those that were, by block Gibbs sampling.

        Args:
            x: (B, *shape); only its observed pixels are read, and the chain starts from all of it.
            observed: True where a pixel is known; broadcasts against x.
            num_steps: sweeps.
        """
        state = x
        for _ in range(num_steps):
            state = torch.where(observed, x, self.gibbs_step(self.fields(state)))
        return state

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | h) at one draw of p(h | x), (B, *shape)."""
        return self.visible_means(self.fields(x))

    @torch.no_grad()
    def pictures(self, x: Tensor) -> dict[str, Tensor]:
        """Chains of the model, as means and as draws, and x above its reconstruction, each (N, *shape)."""
        _, fields = self.anneal(64, 500)
        x = x[:32]
        return {
            "samples": self.visible_means(fields),
            "samples_drawn": self.gibbs_step(fields),
            "reconstructions": pairs(x, self.reconstruct(x), columns=8),
        }


def column(beta: float | Tensor) -> float | Tensor:
    """One beta for each row, ready to multiply (B, M)."""
    return beta.unsqueeze(-1) if isinstance(beta, Tensor) else beta


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
