"""Gated PixelCNN: a vertical stack over the rows above and a horizontal stack over the pixels to the left.

Together the stacks read all preceding pixels within reach: there is no blind spot.

Source: A. van den Oord et al., Conditional image generation with PixelCNN decoders, 2016,
https://arxiv.org/abs/1606.05328.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.module_list import ModuleList
from dgm_run.networks.pixels import (
    PixelNetwork,
    PixelSampler,
    PixelsLeft,
    RowCache,
    RowsAbove,
    apply_at_pixel,
    layer_sizes,
    output_layer,
    pointwise,
    repeat_to,
    to_channels_last,
)


class GatedLayer(nn.Module):
    """Layer of both stacks: v' = gate(V v + c) and h' = h + W gate(U h + T (V v + c) + d).

    c and d are linear in the context. The first layer has no residual term h.

    Args:
        in_channels: channels of v and of h.
        channels: channels of v' and of h'.
        kernel_size: kernel size of both stacks.
        is_first: whether v and h are the image itself, whose current pixel must stay hidden.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, is_first: bool):
        super().__init__()
        self.is_first = is_first
        self.above = RowsAbove(in_channels, 2 * channels, kernel_size, has_own_row=not is_first)
        self.left = PixelsLeft(in_channels, 2 * channels, kernel_size, has_own_pixel=not is_first)
        self.link = pointwise(2 * channels, 2 * channels)
        self.mix = pointwise(channels, channels)

    def forward(self, v: Tensor, h: Tensor, context_term: Tensor) -> tuple[Tensor, Tensor]:
        to_v, to_h = context_term.chunk(2, 1)
        vertical = repeat_to(len(context_term), self.above(v)) + to_v
        horizontal = repeat_to(len(context_term), self.left(h)) + self.link(vertical) + to_h
        out = self.mix(gate(horizontal, 1))
        return gate(vertical, 1), out if self.is_first else h + out


def gate(x: Tensor, axis: int) -> Tensor:
    """Multiplies tanh of the first half of the channels, on this axis, by the sigmoid of the other half."""
    value, gate_logits = x.chunk(2, axis)
    return torch.tanh(value) * gate_logits.sigmoid()


class GatedPixelCNN(PixelNetwork):
    """Layers of two stacks; the image enters the first layer, and the horizontal stack gives the output.

    Args:
        in_channels: channels of an image.
        out_channels: channels of the output.
        context_channels: channels of the context, which both stacks of each layer read at the current pixel.
        channels: channels of each layer.
        first_kernel_size: kernel size of the first layer.
        kernel_size: kernel size of the other layers.
        num_layers: number of all layers.

    Raises:
        ValueError: a kernel is even or less than three wide, or there is no layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        context_channels: int,
        channels: int,
        first_kernel_size: int,
        kernel_size: int,
        num_layers: int,
    ):
        super().__init__()
        sizes = layer_sizes(in_channels, channels, first_kernel_size, kernel_size, num_layers)
        self.layers = ModuleList(
            GatedLayer(layer_channels, channels, size, is_first=i == 0)
            for i, (layer_channels, size) in enumerate(sizes)
        )
        self.from_context = ModuleList(pointwise(context_channels, 4 * channels) for _ in range(num_layers))
        self.hidden = pointwise(channels, channels)
        self.output = output_layer(channels, out_channels)
        self.in_channels = in_channels
        self.channels = channels
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the images

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        v = h = to_channels_last(x)
        context = to_channels_last(context)
        for layer, project in zip(self.layers, self.from_context, strict=True):
            v, h = layer(v, h, project(context))
        return self.output(F.relu(self.hidden(F.relu(h))))

    def build_sampler(self, context: Tensor) -> "GatedPixelCNNSampler":
        return GatedPixelCNNSampler(self, context)


class GatedPixelCNNSampler(PixelSampler):
    """Sampler of a `GatedPixelCNN`; the vertical stack runs once a row, the horizontal stack once a pixel.

    Args:
        network: network whose outputs it computes.
        context: (N, context channels, H, W).
    """

    def __init__(self, network: GatedPixelCNN, context: Tensor):
        self.network = network
        projections = network.from_context
        self.context_terms = [project(context).permute(2, 0, 3, 1) for project in projections]  # (H, N, W, C) each
        layers = list(network.layers)
        channels = [network.in_channels] + [network.channels] * (len(layers) - 1)
        self.caches = [RowCache(context, num, layer.left.reach) for num, layer in zip(channels, layers, strict=True)]
        self.rows_above = [cache.above for cache in self.caches]  # inputs of the vertical stack
        self.left_weights = [layer.left.flatten_weight() for layer in layers]
        self.vertical_terms: list[Tensor] = []  # inputs of the horizontal stack from the vertical one, (N, W, 2 C) each

    def begin_row(self, row: int) -> None:
        if row:
            self.caches[0].end_row()
            self.rows_above[0] = self.caches[0].above
        self.vertical_terms = []
        v: Tensor | None = None
        for i, (layer, context_term) in enumerate(zip(self.network.layers, self.context_terms, strict=True)):
            to_v, to_h = context_term[row].chunk(2, -1)
            if v is None:
                inputs = self.rows_above[0]
            else:
                inputs = torch.cat([self.rows_above[i], v.mT.unsqueeze(2)], 2)  # (N, C, reach + 1, W)
                self.rows_above[i] = inputs[:, :, 1:]
            vertical = layer.above.compute_row(inputs) + to_v  # (N, W, 2 C)
            self.vertical_terms.append(apply_at_pixel(layer.link, vertical) + to_h)
            v = gate(vertical, -1)

    def compute_output(self, column: int) -> Tensor:
        h: Tensor | None = None
        for i, layer in enumerate(self.network.layers):
            if h is not None:
                self.caches[i].put(column, h)
            window = self.caches[i].window(column, layer.left.has_own_pixel)
            horizontal = self.vertical_terms[i][:, column] + window @ self.left_weights[i]  # (N, 2 C)
            out = apply_at_pixel(layer.mix, gate(horizontal, -1))
            h = out if h is None else h + out
        assert h is not None
        return apply_at_pixel(self.network.output, F.relu(apply_at_pixel(self.network.hidden, F.relu(h))))

    def put(self, column: int, pixel: Tensor) -> None:
        self.caches[0].put(column, pixel)
