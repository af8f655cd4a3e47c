"""The deep belief network: sigmoid layers that generate downwards, below an RBM.

Source: G. Hinton, S. Osindero, Y.-W. Teh, A fast learning algorithm for deep belief nets, 2006.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import EnergyModel, UnnormalizedModel, repeated
from dgm_run.models.energy.binary_states import log_bernoulli, log_independent, logits_of_means
from dgm_run.models.energy.rbm import RBM
from dgm_run.models.layered import LayeredModel, Stage, layer_sizes
from dgm_run.networks.module_list import ModuleList


class SigmoidLayer(nn.Module):
    """p(below | above) and q(above | below), both independent binary units by a linear map of the others.

    Args:
        num_below: units of the lower layer.
        num_above: units of the upper one.
        init_scale: the weights start from N(0, init_scale^2), the biases at zero.
    """

    def __init__(self, num_below: int, num_above: int, init_scale: float):
        super().__init__()
        self.generation, self.recognition = nn.Linear(num_above, num_below), nn.Linear(num_below, num_above)
        for linear in (self.generation, self.recognition):
            nn.init.normal_(linear.weight, std=init_scale)
            nn.init.zeros_(linear.bias)

    def down(self, above: Tensor) -> Tensor:
        """Log-odds of the lower units, in the type of the upper ones, where products may be in half precision."""
        return self.generation(above).to(above.dtype)

    def up(self, below: Tensor) -> Tensor:
        """Log-odds of the upper units, in the type of the lower ones."""
        return self.recognition(below).to(below.dtype)

    def log_p(self, below: Tensor, above: Tensor) -> Tensor:
        """log p(below | above), (B,), nats."""
        return log_bernoulli(below, self.down(above))

    def log_q(self, above: Tensor, below: Tensor) -> Tensor:
        """log q(above | below), (B,), nats."""
        return log_bernoulli(above, self.up(below))

    def draw_above(self, below: Tensor) -> Tensor:
        return rng.bernoulli(self.up(below).sigmoid())

    def draw_below(self, above: Tensor) -> Tensor:
        return rng.bernoulli(self.down(above).sigmoid())

    @torch.no_grad()
    def learn_from(self, machine: RBM) -> None:
        """Takes the weights of a machine for both directions."""
        self.generation.weight.copy_(machine.weight)
        self.generation.bias.copy_(machine.visible_bias)
        self.recognition.weight.copy_(machine.weight.T)
        self.recognition.bias.copy_(machine.hidden_bias)


class DBN(UnnormalizedModel, LayeredModel):
    """p(x, h_1, ..., h_L) = p(x | h_1) ... p(h_{L-2} | h_{L-1}) p_RBM(h_{L-1}, h_L), all units binary.

    q(h_1, ..., h_{L-1} | x) goes up layer by layer with weights of its own, which after layer-wise training are
    those of the way down. The states whose Z is unknown are those of h_{L-1}.

    Args:
        shape: of one example.
        num_hidden: units of every hidden layer, from below; the last two are those of the RBM.
        init_scale: the weights start from N(0, init_scale^2), the biases at zero.
        visible_bias: logit_mean starts the biases of the pixels at the logits of the training means, zero at zero.

    Attributes:
        layers: the sigmoid layers, from below.
        top: the RBM.

    Raises:
        ValueError: there are fewer than two hidden layers, or one is empty.
    """

    base_logits: Tensor
    takes = ("binary",)
    inferred = True

    def __init__(
        self,
        shape: Sequence[int],
        num_hidden: Sequence[int],
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
    ):
        super().__init__()
        sizes = layer_sizes(shape, num_hidden)
        self.shape, self.sizes, self.num_stages = tuple(shape), sizes, len(num_hidden)
        self.init_scale, self.visible_bias = init_scale, visible_bias
        self.layers = ModuleList(SigmoidLayer(*pair, init_scale) for pair in pairwise(sizes[:-1]))
        self.top = RBM((sizes[-2],), sizes[-1], init_scale, "logit_mean")
        self.register_buffer("base_logits", torch.zeros(sizes[0]))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """The baseline and, if so set, the biases of the pixels."""
        self.base_logits.copy_(logits_of_means(x))
        if self.visible_bias == "logit_mean":
            self.layers[0].generation.bias.copy_(self.base_logits)

    @property
    def energy(self) -> EnergyModel:
        return self.top

    def recognise(self, x: Tensor, num_layers: int | None = None) -> list[Tensor]:
        """x and a draw of q(h_1, ..., h_{L-1} | x), or of the lowest layers alone, each (B, units)."""
        units = [x.flatten(1)]
        for layer in self.layers[:num_layers]:
            units.append(layer.draw_above(units[-1]))
        return units

    def generate(self, states: Tensor) -> list[Tensor]:
        """A draw of the layers below h_{L-1}, (B, units) of it, which stands last."""
        units = [states]
        for layer in reversed(self.layers):
            units.insert(0, layer.draw_below(units[0]))
        return units

    def log_ratio(self, units: list[Tensor]) -> Tensor:
        """log p(x, h_1, ... | h_{L-1}) - log q(h_1, ..., h_{L-1} | x), (B,)."""
        steps = zip(self.layers, pairwise(units), strict=True)
        found = units[0].new_zeros(())
        for layer, (below, above) in steps:
            found = found + (layer.log_p(below, above) - layer.log_q(above, below))
        return found

    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        units = self.recognise(repeated(x, num_samples))
        return units[-1], self.log_ratio(units)

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits)

    @torch.no_grad()
    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """n draws, (n, *shape), each from the end of a chain of its own at the top."""
        return self.generate(self.top.sample(n, num_steps))[0].unflatten(-1, self.shape)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Means of all hidden layers, each from the means of the one below, (B, units of them)."""
        means = [x.flatten(1)]
        for layer in self.layers:
            means.append(layer.up(means[-1]).sigmoid())
        return torch.cat([*means[1:], self.top.features(means[-1])], -1)

    def completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        """A step offers hidden units from q(h | x), taken by the rule of Metropolis and Hastings, and then draws the
        missing pixels from p(x | h_1).
        """
        known = observed.expand(x.shape).flatten(1)
        units = self.recognise(x)
        while True:
            offered = self.recognise(units[0])
            taken = rng.uniform_like(units[0][:, 0]).log() < self._log_weight(offered) - self._log_weight(units)
            units = [torch.where(taken.unsqueeze(-1), new, old) for new, old in zip(offered, units, strict=True)]
            units[0] = torch.where(known, units[0], self.layers[0].draw_below(units[1]))
            yield units[0].unflatten(-1, self.shape)

    def _log_weight(self, units: list[Tensor]) -> Tensor:
        return self.log_ratio(units) - self.top.free_energy(units[-1])

    def visible_means(self, above: Tensor) -> Tensor:
        return self.layers[0].down(above).sigmoid().unflatten(-1, self.shape)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | h_1) at one draw of q(h_1 | x), (B, *shape)."""
        return self.visible_means(self.layers[0].draw_above(x.flatten(1)))

    def stage(self, index: int) -> Stage:
        """An RBM over what the layers below recognise; the last is the top, the others become sigmoid layers."""

        @torch.no_grad()
        def prepare(x: Tensor) -> Tensor:
            return self.recognise(x, index)[-1] if index else x

        shape = (self.sizes[index],) if index else self.shape
        mirrored = index > 0 and self.sizes[index + 1] == self.sizes[index - 1]
        machine = RBM(shape, self.sizes[index + 1], self.init_scale, "zero" if mirrored else self.visible_bias).to(
            self.base_logits
        )
        if mirrored:  # then the bound starts where the machine below ended, and can only rise
            below = self.layers[index - 1]
            with torch.no_grad():
                machine.weight.copy_(below.generation.weight.T)
                machine.visible_bias.copy_(below.recognition.bias)
                machine.hidden_bias.copy_(below.generation.bias)

        def finish() -> None:
            if index < len(self.layers):
                self.layers[index].learn_from(machine)
            else:
                self.top.load_state_dict(machine.state_dict())

        return Stage(machine, prepare, finish)
