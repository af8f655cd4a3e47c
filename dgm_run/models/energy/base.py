"""Models known up to Z, energy models among them, and the path of densities on which Z is found."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.errors import ConfigError
from dgm_run.models.base import GenerativeModel

FINE = 0.001 + 1e-9
"""Steps of the inverse temperature up to which densities differ by their slope."""


class UnnormalizedModel(GenerativeModel):
    """p(x) = sum_s p(x | s) f(s) / Z: known but for Z, that of the energy model f over its states s.

    Where s is x itself the sum has one term; elsewhere there is a q(s | x) to draw the others from.

    Attributes:
        shape: of one example.
        inferred: whether s is more than x, so that log p(x) has to be estimated even where Z is known.
    """

    shape: tuple[int, ...]
    inferred: bool

    @abstractmethod
    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """n draws, (n, *shape), each the end of a chain of its own."""

    @property
    @abstractmethod
    def energy(self) -> "EnergyModel":
        """What Z belongs to."""

    @abstractmethod
    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        """Draws s of q(s | x), (S B, *state), and log p(x | s) - log q(s | x) of each, (S B,)."""

    @abstractmethod
    def completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        """A chain of draws of the pixels that were not observed, given those that were, (B, *shape) after each sweep.

        Args:
            x: (B, *shape); its observed pixels stay, and the others are where the chain starts.
            observed: True where a pixel is known; broadcasts against x.
        """

    @abstractmethod
    def log_baseline(self, x: Tensor) -> Tensor:
        """log p(x) of independent pixels fitted to the training data, which a model has to beat: (B,), nats."""

    @torch.no_grad()
    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """log p(x | s) f(s) - log q(s | x), (S, B): the mean of their exponentials is an unbiased p(x) Z."""
        states, log_ratio = self.draw(x, num_samples)
        return (log_ratio + self.energy.log_unnormalized(states, self.energy.preactivations(states))).view(
            num_samples, -1
        )


class Inferred(NamedTuple):
    """States that an example stands for.

    Attributes:
        states: (B, *state_shape); units that are not pixels have their means under q.
        fields: theirs.
        entropy: of q, (B,) or a scalar zero, nats: log f(states) + entropy is at most log sum_s f(x, s).
    """

    states: Tensor
    preactivations: Tensor
    entropy: Tensor


class EnergyModel(UnnormalizedModel):
    """p(s) = f(s) / Z, other hidden units summed out; s is x, or x and the hidden units that cannot be summed out.

    The model stands at the end of a path of densities f_beta, from f_0, independent units with the means of the
    training data, whose Z is known, to f_1 = f. Sampling, training and the estimate of Z walk on it.

    The `preactivations` of the other hidden units cost the one product of matrices on the way, so they are computed
    once and passed to all methods that need them.

    A new energy model defines six members. `preactivations`, `log_unnormalized` and `gibbs_step` are the model and its
    path; `sample_base`, `log_base_partition` and `log_baseline` are where the path starts. All others have a default:
    gradients come from autograd, a reconstruction is a draw, log Z is not enumerated, no hidden unit is watched.
    `examples/ising.py` is one.

    Attributes:
        error_measure: of a reconstruction, cross_entropy or squared_error.
        hidden_bias_name: the parameter that moves `hidden_means`, one element for each unit; empty without any.
    """

    inferred = False
    error_measure = "squared_error"
    hidden_bias_name = ""

    def initialize(self, x: Tensor) -> None:
        """Sets what starts from the training data: the base of the path and, if so set, the visible biases."""

    def project_parameters(self) -> None:
        """Projects parameters onto their valid range after an optimizer step."""

    @abstractmethod
    def preactivations(self, state: Tensor) -> Tensor:
        """What reaches the hidden units: (B, *state_shape) -> (B, M) or more axes."""

    @abstractmethod
    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """log f_beta, not normalised: (B,), nats. `beta` is one number, or one for each state, (B,)."""

    def log_ratio(self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
        """log f_other - log f_beta, (B,), nats."""
        return self.log_unnormalized(state, preactivations, other) - self.log_unnormalized(state, preactivations, beta)

    @abstractmethod
    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """A sweep of Gibbs sampling from a state with these fields, which leaves f_beta as it is."""

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        """p(h = 1 | s) of the units that are summed out, (B, M); M is zero where there are none."""
        return preactivations.new_zeros(len(preactivations), 0)

    def visible_means(self, state: Tensor, preactivations: Tensor) -> Tensor:
        """The mean of p(x | h) at one draw of p(h | s), (B, *shape); by default a draw of a sweep from s."""
        return self.visible(self.gibbs_step(state, preactivations))

    def reconstruction_error(self, x: Tensor, preactivations: Tensor) -> Tensor:
        """How far x is from its `visible_means`, in `error_measure`, (B,). It is no likelihood."""
        return (x - self.visible_means(x, preactivations)).square().flatten(1).sum(1)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """-sum_i weights_i d log f(state_i) / d theta for every parameter, by name; weights (B,)."""
        names, parameters = zip(*self.named_parameters(), strict=True)
        state = state.detach()
        with torch.enable_grad():
            log_f = self.log_unnormalized(state, self.preactivations(state))
            found = torch.autograd.grad(-(weights @ log_f), parameters, materialize_grads=True)
        return dict(zip(names, found, strict=True))

    def centered(self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor) -> dict[str, Tensor]:
        """The gradient with respect to centered units, told in these parameters: `objectives/energy/base.py`."""
        raise ConfigError(f"{type(self).__name__} has no centered gradient: set objective.centering_rate=null")

    @abstractmethod
    def sample_base(self, n: int) -> Tensor:
        """n draws from f_0, (n, *state_shape)."""

    @abstractmethod
    def log_base_partition(self) -> Tensor:
        """log of the sum or integral of f_0, a scalar in float64."""

    @property
    def log2_states(self) -> float:
        """Binary logarithm of the number of terms that `log_partition` sums; infinite where it cannot."""
        return math.inf

    def log_partition(self) -> Tensor:
        """log Z by enumeration, a scalar in float64."""
        raise NotImplementedError(f"{type(self).__name__} does not enumerate its states")

    @property
    def energy(self) -> "EnergyModel":
        return self

    def infer(self, x: Tensor) -> Inferred:
        """What x stands for among the states."""
        return Inferred(x, self.preactivations(x), x.new_zeros(()))

    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        states = repeated(x, num_samples)
        return states, x.new_zeros(len(states))

    def visible(self, state: Tensor) -> Tensor:
        """The pixels of a state, (B, *shape)."""
        return state

    def replace_visible(self, state: Tensor, x: Tensor) -> Tensor:
        """The state with other pixels."""
        return x

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) = -log sum_s f(x, s), (B,), nats; an upper bound of it where s is inferred."""
        state, preactivations, entropy = self.infer(x)
        return -self.log_unnormalized(state, preactivations) - entropy

    def features(self, x: Tensor) -> Tensor:
        """p(h = 1 | x) of all hidden units, (B, M)."""
        return self.hidden_means(self.infer(x).preactivations)

    def gibbs(self, state: Tensor, num_steps: int, preactivations: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`num_steps` sweeps; the state they end in and its fields."""
        preactivations = self.preactivations(state) if preactivations is None else preactivations
        for _ in range(num_steps):
            state = self.gibbs_step(state, preactivations)
            preactivations = self.preactivations(state)
        return state, preactivations

    @torch.no_grad()
    def anneal(self, n: int, num_steps: int) -> tuple[Tensor, Tensor]:
        """n chains led from the base to the model in `num_steps` sweeps; their states and fields."""
        state = self.sample_base(n)
        preactivations = self.preactivations(state)
        for step in range(num_steps):
            state = self.gibbs_step(state, preactivations, (step + 1) / num_steps)
            preactivations = self.preactivations(state)
        return state, preactivations

    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """n draws, (n, *shape), each the end of a chain of its own."""
        return self.visible(self.anneal(n, num_steps)[0])

    def completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        state, preactivations, _ = self.infer(x)
        while True:
            state = self.gibbs_step(state, preactivations)
            state = self.replace_visible(state, torch.where(observed, x, self.visible(state)))
            preactivations = self.preactivations(state)
            yield self.visible(state)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | h) at one draw of q(h | x), (B, *shape)."""
        inferred = self.infer(x)
        return self.visible_means(inferred.states, inferred.preactivations)

    def filters(self) -> Tensor | None:
        """What the hidden units next to the pixels look for: columns of a weight matrix, (D, N), if there is one."""
        return None


def repeated(x: Tensor, n: int) -> Tensor:
    """All examples n times over: (B, *shape) -> (n B, *shape)."""
    return x.expand(n, *x.shape).flatten(0, 1)


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


def scaled(preactivations: Tensor, beta: float | Tensor) -> Tensor:
    """beta times the fields, one beta for all rows or one for each; at the end of the path, the fields themselves."""
    return (
        preactivations if isinstance(beta, float) and beta == 1 else column(beta, preactivations.dim()) * preactivations
    )


def softplus_increase(preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
    """sum_j softplus(other f_j) - softplus(beta f_j), (B, M) -> (B,), nats.

    On a fine path by the slope half-way: two sums in single precision would differ by little more than their rounding
    errors, which add up to 0.5 nats over 200,000 temperatures of a machine with 500 hidden units. What the slope leaves
    out is of third order, below 0.002 nats over 1,000 steps of such a machine, and less where they are more.
    """
    if isinstance(beta, Tensor) or isinstance(other, Tensor) or abs(other - beta) > FINE:
        return F.softplus(scaled(preactivations, other)).sum(-1) - F.softplus(scaled(preactivations, beta)).sum(-1)
    return (other - beta) * (preactivations * (0.5 * (beta + other) * preactivations).sigmoid()).sum(-1)
