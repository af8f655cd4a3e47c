"""Unnormalised models: energy models, models built on them, and the annealing path on which Z is estimated."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dgm_run.distributions.softplus import sum_softplus
from dgm_run.errors import ConfigError
from dgm_run.models.base import GenerativeModel
from dgm_run.networks.products import multiply

MAX_FINE_STEP = 0.001 + 1e-9
"""Largest step of the inverse temperature for which `softplus_increase` uses the slope."""


class UnnormalizedModel(nn.Module, ABC):
    """p(x) = sum_s p(x | s) f(s) / Z, known but for Z, the partition function of the energy model f over states s.

    Where s is x itself the sum has one term. Elsewhere the model has a q(s | x) for importance sampling.

    Attributes:
        shape: shape of one example.
        has_latent_states: whether s holds more than x. Then log p(x) has to be estimated even where Z is known.
    """

    shape: tuple[int, ...]
    has_latent_states: bool

    @abstractmethod
    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """Draws n examples, (n, *shape), each the end of its own chain."""

    @property
    @abstractmethod
    def energy(self) -> "EnergyModel":
        """Energy model over the states s, which Z normalises."""

    @abstractmethod
    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        """Draws s of q(s | x), (S B, *state), and log p(x | s) - log q(s | x) of each, (S B,)."""

    @abstractmethod
    def iterate_completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        """Yields draws of the missing pixels given the observed ones, (B, *shape) after each sweep of a Markov chain.

        Args:
            x: (B, *shape); observed pixels stay fixed, and the others start the chain.
            observed: True where a pixel is observed; broadcasts against x.
        """

    @abstractmethod
    def log_baseline(self, x: Tensor) -> Tensor:
        """Computes log p(x) of independent pixels fitted to the training data, the baseline of a model: (B,), nats."""

    @torch.no_grad()
    def log_weights(self, x: Tensor, num_samples: int) -> Tensor:
        """Returns log p(x | s) f(s) - log q(s | x), (S, B). Their exponentials average to an unbiased p(x) Z."""
        states, log_ratio = self.draw(x, num_samples)
        return (log_ratio + self.energy.log_unnormalized(states, self.energy.preactivations(states))).view(
            num_samples, -1
        )


class InferredStates(NamedTuple):
    """States inferred from examples.

    Attributes:
        states: (B, *state_shape); latent units have their means under q.
        preactivations: preactivations of these states.
        entropy: entropy of q, (B,) or a scalar zero, nats: log f(states) + entropy is at most log sum_s f(x, s).
    """

    states: Tensor
    preactivations: Tensor
    entropy: Tensor


class EnergyModel(UnnormalizedModel, GenerativeModel):
    """p(s) = f(s) / Z; s is x, or x and the hidden units that cannot be summed out in closed form.

    The model is the end of a path of densities f_beta. The path starts at f_0, independent units with the means of the
    training data and a known Z, and ends at f_1 = f. Sampling, training and the estimate of Z use this path.

    The `preactivations` of the summed-out units cost the only matrix product of a sweep. They are computed once and
    passed to every method that needs them.

    A new energy model defines six members. `preactivations`, `log_unnormalized` and `gibbs_step` define the model and
    its path. `sample_base`, `log_base_partition` and `log_baseline` define its start. All others have defaults:
    autograd computes gradients, a draw is the reconstruction, log Z is not enumerated. `examples/ising.py` is one.

    Attributes:
        error_measure: measure of the reconstruction error, cross_entropy or squared_error.
        hidden_bias_name: name of the bias parameter of `hidden_means`, one element a unit; empty without hidden units.
    """

    has_latent_states = False
    error_measure = "squared_error"
    hidden_bias_name = ""

    def initialize(self, x: Tensor) -> None:
        """Initializes from training data: the base of the path and, if so configured, the visible biases."""

    def project_parameters(self) -> None:
        """Projects parameters onto their valid range after an optimizer step."""

    @abstractmethod
    def preactivations(self, state: Tensor) -> Tensor:
        """Computes the inputs of the hidden units: (B, *state_shape) -> (B, M) or more axes."""

    @abstractmethod
    def log_unnormalized(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Computes log f_beta, unnormalised: (B,), nats. `beta` is one number, or one for each state, (B,)."""

    def log_ratio(self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
        """Computes log f_other - log f_beta, (B,), nats."""
        return self.log_unnormalized(state, preactivations, other) - self.log_unnormalized(state, preactivations, beta)

    @abstractmethod
    def gibbs_step(self, state: Tensor, preactivations: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """Makes one Gibbs sweep from a state with these preactivations; f_beta is invariant under it."""

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        """Computes p(h = 1 | s) of the summed-out units, (B, M); M is zero without such units."""
        return preactivations.new_zeros(len(preactivations), 0)

    def visible_means(self, state: Tensor, preactivations: Tensor) -> Tensor:
        """Returns the mean of p(x | h) at one draw of p(h | s), (B, *shape); by default a draw of a sweep from s."""
        return self.visible(self.gibbs_step(state, preactivations))

    def reconstruction_error(self, x: Tensor, preactivations: Tensor) -> Tensor:
        """Measures the distance of x from its `visible_means` by `error_measure`, (B,). It is no likelihood."""
        return (x - self.visible_means(x, preactivations)).square().flatten(1).sum(1)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Computes -sum_i weights_i d log f(state_i) / d theta for every parameter, by name; weights (B,)."""
        names, parameters = zip(*self.named_parameters(), strict=True)
        state = state.detach()
        with torch.enable_grad():
            log_f = self.log_unnormalized(state, self.preactivations(state))
            found = torch.autograd.grad(-(weights @ log_f), parameters, materialize_grads=True)
        # copies, since an objective changes them in place and autograd may return one tensor for several parameters
        return {name: gradient.clone() for name, gradient in zip(names, found, strict=True)}

    def center_gradient(
        self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor
    ) -> dict[str, Tensor]:
        """Converts a gradient into that of centered units, expressed in the ordinary parameters.

        See `objectives/energy/base.py`.
        """
        raise ConfigError(f"{type(self).__name__} has no centered gradient: set objective.centering_rate=null")

    @abstractmethod
    def sample_base(self, n: int) -> Tensor:
        """Draws n states from f_0, (n, *state_shape)."""

    @abstractmethod
    def log_base_partition(self) -> Tensor:
        """Computes the log of the sum or integral of f_0, a scalar in float64."""

    @property
    def log2_states(self) -> float:
        """Log2 of the number of terms that `log_partition` sums; infinite without an enumeration."""
        return math.inf

    def log_partition(self) -> Tensor:
        """Computes log Z by enumeration, a scalar in float64."""
        raise NotImplementedError(f"{type(self).__name__} does not enumerate its states")

    @property
    def energy(self) -> "EnergyModel":
        return self

    def infer(self, x: Tensor) -> InferredStates:
        """Infers the states of x."""
        return InferredStates(x, self.preactivations(x), x.new_zeros(()))

    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        states = repeat_batch(x, num_samples)
        return states, x.new_zeros(len(states))

    def visible(self, state: Tensor) -> Tensor:
        """Extracts the pixels of a state, (B, *shape)."""
        return state

    def replace_visible(self, state: Tensor, x: Tensor) -> Tensor:
        """Replaces the pixels of a state by x."""
        return x

    def free_energy(self, x: Tensor) -> Tensor:
        """Computes F(x) = -log sum_s f(x, s), (B,), nats; an upper bound of it for models with latent states."""
        state, preactivations, entropy = self.infer(x)
        return -self.log_unnormalized(state, preactivations) - entropy

    def features(self, x: Tensor) -> Tensor:
        """Computes p(h = 1 | x) of all hidden units, (B, M)."""
        return self.hidden_means(self.infer(x).preactivations)

    def gibbs(self, state: Tensor, num_steps: int, preactivations: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Makes `num_steps` Gibbs sweeps; returns the last state and its preactivations."""
        preactivations = self.preactivations(state) if preactivations is None else preactivations
        for _ in range(num_steps):
            state = self.gibbs_step(state, preactivations)
            preactivations = self.preactivations(state)
        return state, preactivations

    @torch.no_grad()
    def anneal(self, n: int, num_steps: int) -> tuple[Tensor, Tensor]:
        """Anneals n chains from the base to the model in `num_steps` sweeps; returns states and preactivations."""
        state = self.sample_base(n)
        preactivations = self.preactivations(state)
        for step in range(num_steps):
            state = self.gibbs_step(state, preactivations, (step + 1) / num_steps)
            preactivations = self.preactivations(state)
        return state, preactivations

    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """Draws n examples, (n, *shape), each from the end of its own chain."""
        return self.visible(self.anneal(n, num_steps)[0])

    def iterate_completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        state, preactivations, _ = self.infer(x)
        while True:
            state = self.gibbs_step(state, preactivations)
            state = self.replace_visible(state, torch.where(observed, x, self.visible(state)))
            preactivations = self.preactivations(state)
            yield self.visible(state)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the mean of p(x | h) at one draw of q(h | x), (B, *shape)."""
        inferred = self.infer(x)
        return self.visible_means(inferred.states, inferred.preactivations)

    def filters(self) -> Tensor | None:
        """Returns the weights between pixels and the first hidden units, (D, N), if such a matrix exists."""
        return None


def repeat_batch(x: Tensor, n: int) -> Tensor:
    """Repeats all examples n times: (B, *shape) -> (n B, *shape)."""
    return x.expand(n, *x.shape).flatten(0, 1)


def affine(bias: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Computes bias + x weight in the type of x: densities stay in full precision under autocast."""
    return multiply(x, weight, bias).to(x.dtype)


def dot(x: Tensor, b: Tensor) -> Tensor:
    """Computes x b of every row in the type of x: (B, D), (D,) -> (B,)."""
    with torch.autocast(x.device.type, enabled=False):
        return x @ b


def expand_beta(beta: float | Tensor, num_dims: int = 2) -> float | Tensor:
    """Reshapes one beta a row, (B,), to multiply a tensor of `num_dims` axes."""
    return beta.view(-1, *[1] * (num_dims - 1)) if isinstance(beta, Tensor) else beta


def scale_preactivations(preactivations: Tensor, beta: float | Tensor) -> Tensor:
    """Multiplies preactivations by beta, one number or one a row; returns them unchanged at beta = 1."""
    return (
        preactivations
        if isinstance(beta, float) and beta == 1
        else expand_beta(beta, preactivations.dim()) * preactivations
    )


def softplus_increase(preactivations: Tensor, beta: float | Tensor, other: float | Tensor) -> Tensor:
    """Computes sum_j softplus(other f_j) - softplus(beta f_j), (B, M) -> (B,), nats.

    On a fine path it uses the slope at the midpoint. The difference of two sums in single precision would be close to
    their rounding errors. These add up to 0.5 nats over 200,000 temperatures of a model with 500 hidden units. The
    error of the slope is of third order: below 0.002 nats over 1,000 steps of such a model, less over more steps.
    """
    if isinstance(beta, Tensor) or isinstance(other, Tensor) or abs(other - beta) > MAX_FINE_STEP:
        after = sum_softplus(scale_preactivations(preactivations, other))
        return after - sum_softplus(scale_preactivations(preactivations, beta))
    return (other - beta) * (preactivations * (0.5 * (beta + other) * preactivations).sigmoid()).sum(-1)
