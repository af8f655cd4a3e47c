"""Deep Boltzmann machine: layers of hidden units, each connected to the layer below and the layer above.

Source: R. Salakhutdinov, G. Hinton, Deep Boltzmann machines, 2009.
"""

import copy
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run import rng
from dgm_run.distributions.softplus import sum_softplus
from dgm_run.models.energy.base import EnergyModel, InferredStates, affine, scale_preactivations
from dgm_run.models.energy.binary_states import BinaryHiddenUnits, BinaryStates, log_bernoulli, mix
from dgm_run.models.energy.enumeration import log_sum_over_states
from dgm_run.models.energy.tied_rbm import TiedRBM
from dgm_run.models.layered import LayeredModel, Stage, layer_sizes
from dgm_run.networks.products import multiply


class DBM(BinaryHiddenUnits, BinaryStates, EnergyModel, LayeredModel):
    """E(s_0, ..., s_L) = -sum_l s_{l-1}'W_l s_l - sum_l a_l's_l, s_0 = x, all units binary.

    Odd layers are independent given the even ones, and vice versa: it is an RBM between the two. The states of the path
    are the even layers, pixels first; odd layers are summed out. Mean field infers the hidden even layers, by
    coordinate ascent on a lower bound of log p(x).

    Args:
        shape: shape of one example.
        num_hidden: units of every hidden layer, lowest first.
        init_scale: standard deviation of the initial weights, N(0, init_scale^2); hidden biases start at zero.
        visible_bias: initial biases of the pixels: logit_mean (logits of the training means) or zero.
        mean_field_steps: updates of the mean field, each of all layers.

    Attributes:
        weights: W_l, (units of l - 1, units of l), lowest first.
        visible_bias: a_l of the even layers, concatenated.
        hidden_bias: a_l of the odd layers, concatenated.
        upward_bias: biases of every hidden layer in the RBM below it, which samples the data of the upper layers.

    Raises:
        ValueError: there are fewer than two hidden layers, a layer is empty, or `mean_field_steps` is not positive.
    """

    upward_bias: Tensor
    has_latent_states = True

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
        self.mean_field_steps = mean_field_steps
        self.num_stages = len(num_hidden)
        self.init_scale = init_scale
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
        """Biases a_l of every layer, views of the parameters."""
        return _interleave(self._split_even(self.visible_bias), self._split_odd(self.hidden_bias))

    def _split_even(self, units: Tensor) -> list[Tensor]:
        return list(units.split(self.sizes[0::2], -1))

    def _split_odd(self, units: Tensor) -> list[Tensor]:
        return list(units.split(self.sizes[1::2], -1))

    def _receive_from_below(self, layer: int, units: list[Tensor]) -> Tensor:
        return affine(self.biases[layer], units[(layer - 1) // 2], self.weights[layer - 1])

    def _add_from_above(self, layer: int, units: list[Tensor], total: Tensor) -> Tensor:
        """Adds the input from the layer above, if there is one, to `total`; `units` are those layers' units."""
        if layer == len(self.sizes) - 1:
            return total
        return affine(total, units[(layer + 1) // 2], self.weights[layer].T)

    def _compute_odd(self, even: list[Tensor], from_pixels: Tensor) -> Tensor:
        totals = [from_pixels] + [self._receive_from_below(layer, even) for layer in range(3, len(self.sizes), 2)]
        return torch.cat([self._add_from_above(2 * i + 1, even, total) for i, total in enumerate(totals)], -1)

    def _compute_even(self, odd: list[Tensor]) -> Tensor:
        return torch.cat([affine(self.biases[0], odd[0], self.weights[0].T), self._compute_hidden_even(odd)], -1)

    def _compute_hidden_even(self, odd: list[Tensor]) -> Tensor:
        layers = range(2, len(self.sizes), 2)
        return torch.cat(
            [self._add_from_above(layer, odd, self._receive_from_below(layer, odd)) for layer in layers], -1
        )

    def preactivations(self, state: Tensor) -> Tensor:
        """Computes the inputs of the odd layers, (B, units of them)."""
        even = self._split_even(state)
        return self._compute_odd(even, self._receive_from_below(1, even))

    def state_logits(self, preactivations: Tensor, beta: float | Tensor) -> Tensor:
        odd = self._split_odd(rng.bernoulli(scale_preactivations(preactivations, beta).sigmoid()))
        return mix(self.base_logits, self._compute_even(odd), beta)

    @torch.no_grad()
    def _mean_field(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the log-odds of the hidden even layers, (B, units of them), and the preactivations of their means."""
        x = x.flatten(1)
        from_pixels = affine(self.biases[1], x, self.weights[0])
        below = self._pass_upward(from_pixels)
        preactivations = self._compute_odd([x, *below], from_pixels)
        for _ in range(self.mean_field_steps):
            logits = self._compute_hidden_even(self._split_odd(preactivations.sigmoid()))
            preactivations = self._compute_odd([x, *logits.sigmoid().split(self.sizes[2::2], -1)], from_pixels)
        return logits, preactivations

    def _pass_upward(self, from_pixels: Tensor) -> list[Tensor]:
        """Computes means of the hidden even layers in one upward pass; doubled input replaces the upper layer's."""
        means = from_pixels
        total = from_pixels
        found = []
        for layer in range(1, len(self.sizes)):
            if layer > 1:
                total = affine(self.biases[layer], means, self.weights[layer - 1])
            if layer < len(self.sizes) - 1:
                total = 2 * total - self.biases[layer]
            means = total.sigmoid()
            if layer % 2 == 0:
                found.append(means)
        return found

    def infer(self, x: Tensor) -> InferredStates:
        logits, preactivations = self._mean_field(x)
        means = logits.sigmoid()
        return InferredStates(torch.cat([x.flatten(1), means], -1), preactivations, -log_bernoulli(means, logits))

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
        """Computes the mean-field means of all hidden layers, lowest first, (B, units of them)."""
        states, preactivations, _ = self.infer(x)
        return torch.cat(_interleave(self._split_even(states), self._split_odd(preactivations.sigmoid()))[1:], -1)

    def gradient(self, state: Tensor, preactivations: Tensor, weights: Tensor) -> dict[str, Tensor]:
        h = preactivations.sigmoid().mul_(-weights.unsqueeze(-1))
        layers = _interleave(self._split_even(state), self._split_odd(h))
        found = {f"weight_{layer}": multiply(layers[layer - 1].T, layers[layer]) for layer in range(1, len(layers))}
        return found | {"visible_bias": -(weights @ state), "hidden_bias": h.sum(0)}

    def center_gradient(
        self, gradient: dict[str, Tensor], state_mean: Tensor, hidden_mean: Tensor
    ) -> dict[str, Tensor]:
        biases = _interleave(self._split_even(gradient["visible_bias"]), self._split_odd(gradient["hidden_bias"]))
        means = _interleave(self._split_even(state_mean), self._split_odd(hidden_mean))
        found = {}
        moved = list(biases)
        for layer in range(1, len(means)):
            below = layer - 1
            above = layer
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

        def log_weight_of_odd(h: Tensor) -> Tensor:
            return h @ model.hidden_bias + sum_softplus(model._compute_even(model._split_odd(h)))

        def log_weight_of_even(state: Tensor) -> Tensor:
            return model.log_unnormalized(state, model.preactivations(state))

        device = self.hidden_bias.device
        if len(self.hidden_bias) <= len(self.visible_bias):
            return log_sum_over_states(len(self.hidden_bias), log_weight_of_odd, device)
        return log_sum_over_states(len(self.visible_bias), log_weight_of_even, device)

    def filters(self) -> Tensor:
        return self.weights[0]

    def build_stage(self, index: int) -> Stage:
        """Returns an RBM of layers `index` and `index` + 1, with two copies of a layer that has another neighbour.

        The lowest RBM has two copies of the pixels, the highest two of its hidden units, the RBMs between two of both.
        So each layer receives as much input as in the whole model.
        """
        rbm = TiedRBM(
            self.sizes[index],
            self.sizes[index + 1],
            visible_copies=2 if index < self.num_stages - 1 else 1,
            hidden_copies=2 if index > 0 else 1,
            init_scale=self.init_scale,
            visible_bias="logit_mean" if index or self.is_mean_initialized else "zero",
        )
        rbm.to(self.hidden_bias)
        upward = self.upward_bias.split(self.sizes[1:])

        @torch.no_grad()
        def prepare(x: Tensor) -> Tensor:
            units = x.flatten(1)
            for weight, bias in zip(self.weights[:index], upward, strict=False):
                units = rng.bernoulli((2 * affine(bias / 2, units, weight)).sigmoid())
            return units.unsqueeze(1).expand(-1, rbm.visible_copies, -1)

        @torch.no_grad()
        def finish() -> None:
            self.weights[index].copy_(rbm.weight)
            below = self.biases[index]
            above = self.biases[index + 1]
            below.copy_(0.5 * (below + rbm.visible_bias) if index else rbm.visible_bias)
            above.copy_(rbm.hidden_bias)
            upward[index].copy_(rbm.hidden_bias)

        return Stage(rbm, prepare, finish)


def _interleave(even: list[Tensor], odd: list[Tensor]) -> list[Tensor]:
    """Merges even and odd layers into one list, lowest first."""
    found = [*even, *odd]
    found[0::2] = even
    found[1::2] = odd
    return found
