"""Deep belief network: sigmoid layers that generate downwards, below an RBM.

Source: G. Hinton, S. Osindero, Y.-W. Teh, A fast learning algorithm for deep belief nets, 2006.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.base import GenerativeModel
from dgm_run.models.energy.base import EnergyModel, UnnormalizedModel, repeat_batch
from dgm_run.models.energy.binary_states import log_bernoulli, log_independent, mean_logits
from dgm_run.models.energy.rbm import RBM
from dgm_run.models.layered import LayeredModel, Stage, layer_sizes
from dgm_run.networks.linear import Linear
from dgm_run.networks.module_list import ModuleList


class SigmoidLayer(nn.Module):
    """Conditionals p(below | above) and q(above | below) of independent binary units, with linear log-odds.

    Args:
        num_below: units of the lower layer.
        num_above: units of the upper layer.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); biases start at zero.
    """

    def __init__(self, num_below: int, num_above: int, init_scale: float):
        super().__init__()
        self.generation = Linear(num_above, num_below)
        self.recognition = Linear(num_below, num_above)
        for linear in (self.generation, self.recognition):
            nn.init.normal_(linear.weight, std=init_scale)
            nn.init.zeros_(linear.bias)

    def down(self, above: Tensor) -> Tensor:
        """Computes the log-odds of the lower units, in the type of `above`: products may be in half precision."""
        return self.generation(above).to(above.dtype)

    def up(self, below: Tensor) -> Tensor:
        """Computes the log-odds of the upper units, in the type of `below`."""
        return self.recognition(below).to(below.dtype)

    def log_p(self, below: Tensor, above: Tensor) -> Tensor:
        """Computes log p(below | above), (B,), nats."""
        return log_bernoulli(below, self.down(above))

    def log_q(self, above: Tensor, below: Tensor) -> Tensor:
        """Computes log q(above | below), (B,), nats."""
        return log_bernoulli(above, self.up(below))

    def draw_above(self, below: Tensor) -> Tensor:
        return rng.bernoulli(self.up(below).sigmoid())

    def draw_below(self, above: Tensor) -> Tensor:
        return rng.bernoulli(self.down(above).sigmoid())

    @torch.no_grad()
    def copy_weights(self, rbm: RBM) -> None:
        """Copies the weights of an RBM into both directions."""
        self.generation.weight.copy_(rbm.weight)
        self.generation.bias.copy_(rbm.visible_bias)
        self.recognition.weight.copy_(rbm.weight.T)
        self.recognition.bias.copy_(rbm.hidden_bias)


class DBN(UnnormalizedModel, GenerativeModel, LayeredModel):
    """p(x, h_1, ..., h_L) = p(x | h_1) ... p(h_{L-2} | h_{L-1}) p_RBM(h_{L-1}, h_L), all units binary.

    q(h_1, ..., h_{L-1} | x) samples upwards, layer by layer, with recognition weights. After layer-wise training these
    equal the generative weights. The RBM's states, whose Z is unknown, are those of h_{L-1}.

    Args:
        shape: shape of one example.
        num_hidden: units of every hidden layer, lowest first; the last two belong to the RBM.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); biases start at zero.
        visible_bias: initial biases of the pixels: logit_mean (logits of the training means) or zero.

    Attributes:
        layers: the sigmoid layers, lowest first.
        top: the RBM.

    Raises:
        ValueError: there are fewer than two hidden layers, or one is empty.
    """

    base_logits: Tensor
    takes = ("binary",)
    has_latent_states = True

    def __init__(
        self,
        shape: Sequence[int],
        num_hidden: Sequence[int],
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
    ):
        super().__init__()
        sizes = layer_sizes(shape, num_hidden)
        self.shape = tuple(shape)
        self.sizes = sizes
        self.num_stages = len(num_hidden)
        self.init_scale = init_scale
        self.visible_bias = visible_bias
        self.layers = ModuleList(SigmoidLayer(*pair, init_scale) for pair in pairwise(sizes[:-1]))
        self.top = RBM((sizes[-2],), sizes[-1], init_scale, "logit_mean")
        self.register_buffer("base_logits", torch.zeros(sizes[0]))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Initializes the baseline and, if so configured, the biases of the pixels."""
        self.base_logits.copy_(mean_logits(x))
        if self.visible_bias == "logit_mean":
            self.layers[0].generation.bias.copy_(self.base_logits)

    @property
    def energy(self) -> EnergyModel:
        return self.top

    def recognise(self, x: Tensor, num_layers: int | None = None) -> list[Tensor]:
        """Returns x and a draw of q(h_1, ..., h_{L-1} | x), or of its lowest layers, each (B, units)."""
        units = [x.flatten(1)]
        for layer in self.layers[:num_layers]:
            units.append(layer.draw_above(units[-1]))
        return units

    def generate(self, states: Tensor) -> list[Tensor]:
        """Draws the layers below h_{L-1}, (B, units); returns all layers, lowest first."""
        units = [states]
        for layer in reversed(self.layers):
            units.insert(0, layer.draw_below(units[0]))
        return units

    def log_ratio(self, units: list[Tensor]) -> Tensor:
        """Computes log p(x, h_1, ... | h_{L-1}) - log q(h_1, ..., h_{L-1} | x), (B,)."""
        steps = zip(self.layers, pairwise(units), strict=True)
        found = units[0].new_zeros(())
        for layer, (below, above) in steps:
            found = found + (layer.log_p(below, above) - layer.log_q(above, below))
        return found

    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        units = self.recognise(repeat_batch(x, num_samples))
        return units[-1], self.log_ratio(units)

    def log_baseline(self, x: Tensor) -> Tensor:
        return log_independent(x, self.base_logits)

    @torch.no_grad()
    def sample(self, n: int, num_steps: int = 1000) -> Tensor:
        """Draws n examples, (n, *shape), each from the end of its own chain of the top RBM."""
        return self.generate(self.top.sample(n, num_steps))[0].unflatten(-1, self.shape)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Computes the means of all hidden layers, each from the means of the layer below, (B, units of them)."""
        means = [x.flatten(1)]
        for layer in self.layers:
            means.append(layer.up(means[-1]).sigmoid())
        return torch.cat([*means[1:], self.top.features(means[-1])], -1)

    def iterate_completions(self, x: Tensor, observed: Tensor) -> Iterator[Tensor]:
        """Yields draws of the missing pixels given the observed ones.

        Each step proposes hidden units from q(h | x) by Metropolis-Hastings, then draws the pixels from p(x | h_1).
        """
        is_observed = observed.expand(x.shape).flatten(1)
        units = self.recognise(x)
        while True:
            proposed = self.recognise(units[0])
            is_accepted = rng.uniform_like(units[0][:, 0]).log() < self._log_weight(proposed) - self._log_weight(units)
            units = [torch.where(is_accepted.unsqueeze(-1), new, old) for new, old in zip(proposed, units, strict=True)]
            units[0] = torch.where(is_observed, units[0], self.layers[0].draw_below(units[1]))
            yield units[0].unflatten(-1, self.shape)

    def _log_weight(self, units: list[Tensor]) -> Tensor:
        """Computes log p(x, h) - log q(h | x) up to a constant, (B,)."""
        return self.log_ratio(units) - self.top.free_energy(units[-1])

    def visible_means(self, above: Tensor) -> Tensor:
        """Computes the mean of p(x | h_1) for h_1 = `above`, (B, units) -> (B, *shape)."""
        return self.layers[0].down(above).sigmoid().unflatten(-1, self.shape)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the mean of p(x | h_1) at one draw of q(h_1 | x), (B, *shape)."""
        return self.visible_means(self.layers[0].draw_above(x.flatten(1)))

    def build_stage(self, index: int) -> Stage:
        """Returns an RBM over the units that the layers below recognise; the last RBM becomes the top."""

        @torch.no_grad()
        def prepare(x: Tensor) -> Tensor:
            return self.recognise(x, index)[-1] if index else x

        shape = (self.sizes[index],) if index else self.shape
        is_mirrored = index > 0 and self.sizes[index + 1] == self.sizes[index - 1]
        rbm = RBM(shape, self.sizes[index + 1], self.init_scale, "zero" if is_mirrored else self.visible_bias).to(
            self.base_logits
        )
        if is_mirrored:  # the bound starts at that of the RBM below, and can only rise
            below = self.layers[index - 1]
            with torch.no_grad():
                rbm.weight.copy_(below.generation.weight.T)
                rbm.visible_bias.copy_(below.recognition.bias)
                rbm.hidden_bias.copy_(below.generation.bias)

        def finish() -> None:
            if index < len(self.layers):
                self.layers[index].copy_weights(rbm)
            else:
                self.top.load_state_dict(rbm.state_dict())

        return Stage(rbm, prepare, finish)
