"""Normalizing flows: a simple density transformed by invertible steps.

Source: D. J. Rezende, S. Mohamed, Variational inference with normalizing flows, 2015,
https://arxiv.org/abs/1505.05770.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution, SampleShape, full_precision


class Step(ABC):
    """Invertible map of z, (*sample, *batch, L), with separate parameters for each batch element."""

    @abstractmethod
    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Maps z; returns the result and log |det| of the Jacobian: (*sample, *batch, L), (*sample, *batch) or ()."""

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Inverts the map at z; returns the preimage and log |det| of the forward Jacobian there."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse in closed form")

    @abstractmethod
    def map(self, function: Callable[[Tensor], Tensor]) -> "Step":
        """Returns the same step with `function` applied to every parameter with a batch axis."""

    def detach(self) -> "Step":
        """Returns the same step with parameters that receive no gradient."""
        return self.map(Tensor.detach)


class Inverse(Step):
    """Inverse of a step, as a step."""

    def __init__(self, step: Step):
        self.step = step

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.step.inverse(z)
        return z, -log_det

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.step(z)
        return z, -log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "Inverse":
        return Inverse(self.step.map(function))

    def detach(self) -> "Inverse":
        return Inverse(self.step.detach())


class Flow(Distribution):
    """Density of z_T = f_T(... f_1(z_0)), z_0 from the base: log q(z_T) = log q(z_0) - sum_t log |det f_t'|.

    The density at points other than its own samples requires the inverse of every step.

    Args:
        base: q(z_0).
        steps: f_1, ..., f_T.
    """

    has_rsample = True

    def __init__(self, base: Distribution, steps: Sequence[Step]):
        super().__init__(base.batch_shape, base.event_shape)
        self.base = base
        self.steps = list(steps)

    def rsample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: SampleShape = ()) -> tuple[Tensor, Tensor]:
        z, log_q = self.base.rsample_and_log_prob(sample_shape)
        with full_precision(z):
            for step in self.steps:
                z, log_det = step(z)
                log_q = log_q - log_det
        return z, log_q

    def log_prob(self, value: Tensor) -> Tensor:
        total_log_det = value.new_zeros(())
        with full_precision(value):
            for step in reversed(self.steps):
                value, log_det = step.inverse(value)
                total_log_det = total_log_det + log_det
        return self.base.log_prob(value) - total_log_det

    def map(self, function: Callable[[Tensor], Tensor]) -> "Flow":
        return Flow(self.base.map(function), [step.map(function) for step in self.steps])

    def detach(self) -> "Flow":
        return Flow(self.base.detach(), [step.detach() for step in self.steps])


def freeze_network(network: nn.Module | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Returns the network as a function whose parameters receive no gradient."""
    if not isinstance(network, nn.Module):
        return network  # a plain function has no parameters
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
    return lambda *arguments: torch.func.functional_call(network, parameters, arguments)
