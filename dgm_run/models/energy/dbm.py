"""The deep Boltzmann machine: layers of hidden units, each linked to the one below and the one above.

Source: R. Salakhutdinov, G. Hinton, Deep Boltzmann machines, 2009.
"""

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.models.energy.base import Inferred, affine, scaled, softplus_increase
from dgm_run.models.energy.binary_states import BinaryStates, log_bernoulli, mix
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.models.energy.tied_rbm import TiedRBM
from dgm_run.models.layered import LayeredModel, Stage, layer_sizes


class DBM(BinaryStates, LayeredModel):
    """E(s_0, ..., s_L) = -sum_l s_{l-1}'W_l s_l - sum_l a_l's_l, s_0 = x, all units binary.

    Given the even layers the odd ones are independent, and the other way round: it is an RBM between the two. The
    states of the path are the even layers, pixels first, and the odd ones are summed out. Those of the even layers
    that are hidden are inferred by mean field: coordinate ascent on a lower bound of log p(x).

    Args:
        shape: of one example.
        num_hidden: units of every hidden layer, from below.
        init_scale: the weights start from N(0, init_scale^2), the hidden biases at zero.
        visible_bias: logit_mean starts the biases of the pixels at the logits of the training means, zero at zero.
        mean_field_steps: of the mean field, all layers each.

    Attributes:
        weights: W_l, (units of l - 1, units of l), the lowest first.
        visible_bias: a_l of the even layers, one after another.
        hidden_bias: a_l of the odd layers.
        upward_bias: of every hidden layer as the machine below had it, which draws the data of the layers above.

    Raises:
        ValueError: there are fewer than two hidden layers, one is empty, or there is no update.
    """

    upward_bias: Tensor
    hidden_bias_name = "hidden_bias"

    inferred = True

    def __init__(
        self,
        shape: Sequence[int],
        num_hidden: Sequence[int],
        init_scale: float,
        visible_bias: Literal["logit_mean", "zero"],
        mean_field_steps: int,
    ):
        self.sizes = layer_sizes(shape, num_hidden)
        super().__init__(shape, sum(self.sizes[2::2]), visible_bias)
        if mean_field_steps < 1:
            raise ValueError(f"mean_field_steps = {mean_field_steps} must be positive")
        self.mean_field_steps, self.num_stages, self.init_scale = mean_field_steps, len(num_hidden), init_scale
        for layer in range(1, len(self.sizes)):
            weight = init_scale * torch.randn(self.sizes[layer - 1], self.sizes[layer])
            self.register_parameter(f"weight_{layer}", nn.Parameter(weight))
        self.hidden_bias = nn.Parameter(torch.zeros(sum(self.sizes[1::2])))
        self.register_buffer("upward_bias", torch.zeros(sum(num_hidden)))

    @property
    def weights(self) -> list[Tensor]:
        return [getattr(self, f"weight_{layer}") for layer in range(1, len(self.sizes))]

    @property
    def biases(self) -> list[Tensor]:
        """a_l of every layer, views of the parameters."""
        return _interleave(self._even(self.visible_bias), self._odd(self.hidden_bias))

    def _even(self, units: Tensor) -> list[Tensor]:
        return list(units.split(self.sizes[0::2], -1))

    def _odd(self, units: Tensor) -> list[Tensor]:
        return list(units.split(self.sizes[1::2], -1))

    def _from_below(self, layer: int, units: list[Tensor]) -> Tensor:
        return affine(self.biases[layer], units[(layer - 1) // 2], self.weights[layer - 1])

    def _from_above(self, layer: int, units: list[Tensor], total: Tensor) -> Tensor:
        """`total` with what reaches a layer from the one above it, if there is one; `units` of that parity."""
        if layer == len(self.sizes) - 1:
            return total
        return affine(total, units[(layer + 1) // 2], self.weights[layer].T)

    def _to_odd(self, even: list[Tensor], from_pixels: Tensor) -> Tensor:
        totals = [from_pixels] + [self._from_below(layer, even) for layer in range(3, len(self.sizes), 2)]
        return torch.cat([self._from_above(2 * i + 1, even, total) for i, total in enumerate(totals)], -1)

    def _to_even(self, odd: list[Tensor]) -> Tensor:
        return torch.cat([affine(self.biases[0], odd[0], self.weights[0].T), self._to_hidden_even(odd)], -1)

    def _to_hidden_even(self, odd: list[Tensor]) -> Tensor:
        layers = range(2, len(self.sizes), 2)
        return torch.cat([self._from_above(layer, odd, self._from_below(layer, odd)) for layer in layers], -1)

    def preactivations(self, state: Tensor) -> Tensor:
        """What reaches the odd layers, (B, units of them)."""
        even = self._even(state)
        return self._to_odd(even, self._from_below(1, even))

    def hidden_term(self, state: Tensor, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        return F.softplus(scaled(preactivations, beta)).sum(-1)

    def hidden_term_increase(
        self, state: Tensor, preactivations: Tensor, beta: float | Tensor, other: float | Tensor
    ) -> Tensor:  # fmt: skip
        return softplus_increase(preactivations, beta, other)

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        odd = self._odd(rng.bernoulli(scaled(preactivations, beta).sigmoid()))
        return mix(self.base_logits, self._to_even(odd), beta)

    def hidden_means(self, preactivations: Tensor) -> Tensor:
        """p(s_l = 1 | the even layers) of the odd layers."""
        return preactivations.sigmoid()

    @torch.no_grad()
    def _mean_field(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-odds of the hidden even layers, (B, units of them), and the fields that belong to their means."""
        x = x.flatten(1)
        from_pixels = affine(self.biases[1], x, self.weights[0])
        below = self._upward(from_pixels)
        preactivations = self._to_odd([x, *below], from_pixels)
        for _ in range(self.mean_field_steps):
            logits = self._to_hidden_even(self._odd(preactivations.sigmoid()))
            preactivations = self._to_odd([x, *logits.sigmoid().split(self.sizes[2::2], -1)], from_pixels)
        return logits, preactivations

    def _upward(self, from_pixels: Tensor) -> list[Tensor]:
        """Means of the hidden even layers in one pass from below, what is missing from above made up for."""
        means, total, found = from_pixels, from_pixels, []
        for layer in range(1, len(self.sizes)):
            if layer > 1:
                total = affine(self.biases[layer], means, self.weights[layer - 1])
            if layer < len(self.sizes) - 1:
                total = 2 * total - self.biases[layer]
            means = total.sigmoid()
            if layer % 2 == 0:
                found.append(means)
        return found

    def infer(self, x: Tensor) -> Inferred:
        logits, preactivations = self._mean_field(x)
        means = logits.sigmoid()
        return Inferred(torch.cat([x.flatten(1), means], -1), preactivations, -log_bernoulli(means, logits))

    def draw(self, x: Tensor, num_samples: int) -> tuple[Tensor, Tensor]:
        logits, _ = self._mean_field(x)
        logits = logits.repeat(num_samples, 1)
        units = rng.bernoulli(logits.sigmoid())
        return torch.cat([x.flatten(1).repeat(num_samples, 1), units], -1), -log_bernoulli(units, logits)

    def visible(self, state: Tensor) -> Tensor:
        return state[:, : self.num_pixels].unflatten(-1, self.shape)

    def replace_visible(self, state: Tensor, x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1), state[:, self.num_pixels :]], -1)

    def features(self, x: Tensor) -> Tensor:
        """Means of all hidden layers under the mean field, from below, (B, units of them)."""
        states, preactivations, _ = self.infer(x)
        return torch.cat(_interleave(self._even(states), self._odd(preactivations.sigmoid()))[1:], -1)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        h = preactivations.sigmoid().mul_(-weights.unsqueeze(-1))
        layers = _interleave(self._even(state), self._odd(h))
        found = {f"weight_{layer}": layers[layer - 1].T @ layers[layer] for layer in range(1, len(layers))}
        return found | {"visible_bias": -(weights @ state), "hidden_bias": h.sum(0)}

    def centered(self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor) -> dict[str, Tensor]:
        biases = _interleave(self._even(gradient["visible_bias"]), self._odd(gradient["hidden_bias"]))
        means = _interleave(self._even(state_mean), self._odd(hidden_mean))
        found, moved = {}, list(biases)
        for layer in range(1, len(means)):
            below, above = layer - 1, layer
            weight = gradient[f"weight_{layer}"].addr(means[below], biases[above], alpha=-1)
            found[f"weight_{layer}"] = weight.addr_(biases[below], means[above], alpha=-1)
            moved[below] = moved[below] - weight @ means[above]
            moved[above] = moved[above] - weight.T @ means[below]
        return found | {"visible_bias": torch.cat(moved[0::2]), "hidden_bias": torch.cat(moved[1::2])}

    def log_base_partition(self) -> Tensor:
        return self.log_state_base_partition() + len(self.hidden_bias) * math.log(2)

    @property
    def log2_states(self) -> float:
        return min(len(self.visible_bias), len(self.hidden_bias))

    @torch.no_grad()
    def log_partition(self) -> Tensor:
        model = copy.deepcopy(self).double()

        def of_odd(h: Tensor) -> Tensor:
            return h @ model.hidden_bias + F.softplus(model._to_even(model._odd(h))).sum(-1)

        def of_even(state: Tensor) -> Tensor:
            return model.log_unnormalized(state, model.preactivations(state))

        device = self.hidden_bias.device
        if len(self.hidden_bias) <= len(self.visible_bias):
            return log_sum_over_states(len(self.hidden_bias), of_odd, device)
        return log_sum_over_states(len(self.visible_bias), of_even, device)

    def filters(self) -> Tensor:
        return self.weights[0]

    def stage(self, index: int) -> Stage:
        """The layers `index` and `index` + 1 with two copies of each that has a neighbour on its other side left out.

        The lowest machine has two copies of the pixels, the highest two copies of its hidden units, the ones
        between two of both, so that each layer hears as much as in the whole.
        """
        machine = TiedRBM(
            self.sizes[index],
            self.sizes[index + 1],
            visible_copies=2 if index < self.num_stages - 1 else 1,
            hidden_copies=2 if index > 0 else 1,
            init_scale=self.init_scale,
            visible_bias="logit_mean" if index or self.starts_at_means else "zero",
        )
        machine.to(self.hidden_bias)
        upward = self.upward_bias.split(self.sizes[1:])

        @torch.no_grad()
        def prepare(x: Tensor) -> Tensor:
            units = x.flatten(1)
            for weight, bias in zip(self.weights[:index], upward, strict=False):
                units = rng.bernoulli((2 * affine(bias / 2, units, weight)).sigmoid())
            return units.unsqueeze(1).expand(-1, machine.visible_copies, -1)

        @torch.no_grad()
        def finish() -> None:
            self.weights[index].copy_(machine.weight)
            below, above = self.biases[index], self.biases[index + 1]
            below.copy_(0.5 * (below + machine.visible_bias) if index else machine.visible_bias)
            above.copy_(machine.hidden_bias)
            upward[index].copy_(machine.hidden_bias)

        return Stage(machine, prepare, finish)


def _interleave(even: list[Tensor], odd: list[Tensor]) -> list[Tensor]:
    """Layer after layer, from below."""
    found = [*even, *odd]
    found[0::2], found[1::2] = even, odd
    return found
