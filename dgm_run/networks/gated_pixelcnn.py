"""The gated PixelCNN: a stack over the rows above and one over the pixels to the left, without a blind spot.

Source: A. van den Oord et al., Conditional image generation with PixelCNN decoders, 2016,
https://arxiv.org/abs/1606.05328.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.module_list import ModuleList
from dgm_run.networks.pixels import (
    Left,
    PixelNetwork,
    PixelSampler,
    RowsAbove,
    Strip,
    at_pixel,
    channels_last,
    check_sizes,
    output_layer,
    pointwise,
    repeated_to,
)


class GatedLayer(nn.Module):
    """v' = gate(V v + c), h' = [h +] W gate(U h + T (V v + c) + d), c and d by the context.

    Args:
        in_channels: of v and of h.
        channels: of v' and of h'.
        kernel_size: of both stacks.
        first: whether v and h are the image itself, of which a pixel must not be seen.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, first: bool):
        super().__init__()
        self.first = first
        self.above = RowsAbove(in_channels, 2 * channels, kernel_size, own_row=not first)
        self.left = Left(in_channels, 2 * channels, kernel_size, own_pixel=not first)
        self.link, self.mix = pointwise(2 * channels, 2 * channels), pointwise(channels, channels)

    def forward(self, v: Tensor, h: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        to_v, to_h = told.chunk(2, 1)
        vertical = repeated_to(len(told), self.above(v)) + to_v
        horizontal = repeated_to(len(told), self.left(h)) + self.link(vertical) + to_h
        out = self.mix(gate(horizontal, 1))
        return gate(vertical, 1), out if self.first else h + out


def gate(x: Tensor, axis: int) -> Tensor:
    """tanh of one half of the channels, times the sigmoid of the other."""
    value, openness = x.chunk(2, axis)
    return torch.tanh(value) * openness.sigmoid()


class GatedPixelCNN(PixelNetwork):
    """Layers of two stacks; the image enters the first, the output leaves the horizontal one.

    Args:
        in_channels: of an image.
        out_channels: of the output.
        context_channels: of the context, which both stacks of every layer read at the pixel itself.
        channels: of every layer.
        first_kernel_size: of the first layer.
        kernel_size: of the others.
        num_layers: all of them.

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
        check_sizes(first_kernel_size, kernel_size, num_layers)
        self.layers = ModuleList(
            GatedLayer(channels if i else in_channels, channels, kernel_size if i else first_kernel_size, first=not i)
            for i in range(num_layers)
        )
        self.from_context = ModuleList(pointwise(context_channels, 4 * channels) for _ in range(num_layers))
        self.hidden, self.output = pointwise(channels, channels), output_layer(channels, out_channels)
        self.in_channels, self.channels = in_channels, channels

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        v = h = channels_last(x)
        context = channels_last(context)
        for layer, told in zip(self.layers, self.from_context, strict=True):
            v, h = layer(v, h, told(context))
        return self.output(F.relu(self.hidden(F.relu(h))))

    def sampler(self, context: Tensor) -> "GatedPixelCNNSampler":
        return GatedPixelCNNSampler(self, context)


class GatedPixelCNNSampler(PixelSampler):
    def __init__(self, network: GatedPixelCNN, context: Tensor):
        self.network = network
        self.told = [told(context).permute(2, 0, 3, 1) for told in network.from_context]  # (H, N, W, C) each
        layers = list(network.layers)
        widths = [network.in_channels] + [network.channels] * (len(layers) - 1)
        self.strips = [Strip(context, width, layer.left.reach) for width, layer in zip(widths, layers, strict=True)]
        self.rows = [strip.above for strip in self.strips]  # of the vertical stack
        self.matrices = [layer.left.matrix() for layer in layers]
        self.from_above: list[Tensor] = []

    def begin_row(self, row: int) -> None:
        if row:
            self.strips[0].end_row()
            self.rows[0] = self.strips[0].above
        self.from_above = []
        v: Tensor | None = None
        for i, (layer, told) in enumerate(zip(self.network.layers, self.told, strict=True)):
            to_v, to_h = told[row].chunk(2, -1)
            if v is None:
                seen = self.rows[0]
            else:
                seen = torch.cat([self.rows[i], v.mT.unsqueeze(2)], 2)
                self.rows[i] = seen[:, :, 1:]
            vertical = layer.above.row(seen) + to_v  # (N, W, 2 C)
            self.from_above.append(at_pixel(layer.link, vertical) + to_h)
            v = gate(vertical, -1)

    def output(self, column: int) -> Tensor:
        h: Tensor | None = None
        for i, layer in enumerate(self.network.layers):
            if h is not None:
                self.strips[i].put(column, h)
            window = self.strips[i].window(column, layer.left.own_pixel)
            out = at_pixel(layer.mix, gate(self.from_above[i][:, column] + window @ self.matrices[i], -1))
            h = out if h is None else h + out
        assert h is not None
        return at_pixel(self.network.output, F.relu(at_pixel(self.network.hidden, F.relu(h))))

    def put(self, column: int, pixel: Tensor) -> None:
        self.strips[0].put(column, pixel)
