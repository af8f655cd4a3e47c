"""PixelCNN: masked convolutions, with a blind spot to the upper right.

Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, 2016,
https://arxiv.org/abs/1601.06759.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.networks.module_list import ModuleList
from dgm_run.networks.pixels import (
    PixelNetwork,
    PixelSampler,
    PixelsLeft,
    RowCache,
    RowsAbove,
    apply_at_pixel,
    check_sizes,
    convolve_preceding,
    output_layer,
    pointwise,
    repeat_to,
    to_channels_last,
)


class PixelCNN(PixelNetwork):
    """Layer without the current pixel (mask A), followed by residual layers with it (mask B).

    A masked convolution is the sum of a convolution over the rows above and one over the pixels to the left.

    Args:
        in_channels: channels of an image.
        out_channels: channels of the output.
        context_channels: channels of the context, which every layer and the output read at the current pixel.
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
        check_sizes(first_kernel_size, kernel_size, num_layers)
        widths = [in_channels] + [channels] * (num_layers - 1)
        sizes = [first_kernel_size] + [kernel_size] * (num_layers - 1)
        pairs = list(zip(widths, sizes, strict=True))
        self.above = ModuleList(RowsAbove(width, channels, size, has_own_row=False) for width, size in pairs)
        self.left = ModuleList(
            PixelsLeft(width, channels, size, has_own_pixel=i > 0) for i, (width, size) in enumerate(pairs)
        )
        self.from_context = ModuleList(pointwise(context_channels, channels) for _ in range(num_layers))
        self.output = output_layer(channels, out_channels)
        self.in_channels = in_channels
        self.channels = channels
        with torch.no_grad():  # keeps the variance of a sum of so many layers at that of one
            for layer in (*self.above[1:], *self.left[1:]):
                layer.conv.weight.mul_((num_layers - 1) ** -0.5)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = to_channels_last(x)
        context = to_channels_last(context)
        h: Tensor | None = None
        for above, left, project in zip(self.above, self.left, self.from_context, strict=True):
            if h is None:
                h = F.relu(repeat_to(len(context), convolve_preceding(x, above, left)) + project(context))
            else:
                h = h + F.relu(convolve_preceding(h, above, left) + project(context))
        return self.output(h)

    def build_sampler(self, context: Tensor) -> "PixelCNNSampler":
        return PixelCNNSampler(self, context)


class PixelCNNSampler(PixelSampler):
    def __init__(self, network: PixelCNN, context: Tensor):
        self.network = network
        projections = network.from_context
        self.context_terms = [project(context).permute(2, 0, 3, 1) for project in projections]  # (H, N, W, C) each
        widths = [network.in_channels] + [network.channels] * (len(network.left) - 1)
        self.strips = [RowCache(context, width, left.reach) for width, left in zip(widths, network.left, strict=True)]
        self.matrices = [left.flatten_weight() for left in network.left]
        self.from_above: list[Tensor] = []

    def begin_row(self, row: int) -> None:
        if row:
            for strip in self.strips:
                strip.end_row()
        layers = zip(self.network.above, self.strips, self.context_terms, strict=True)
        self.from_above = [above.compute_row(strip.above) + context_term[row] for above, strip, context_term in layers]

    def compute_output(self, column: int) -> Tensor:
        h: Tensor | None = None
        for i, (strip, matrix) in enumerate(zip(self.strips, self.matrices, strict=True)):
            if h is not None:
                strip.put(column, h)
            window = strip.window(column, self.network.left[i].has_own_pixel)
            out = F.relu(self.from_above[i][:, column] + window @ matrix)
            h = out if h is None else h + out
        assert h is not None
        return apply_at_pixel(self.network.output, h)

    def put(self, column: int, pixel: Tensor) -> None:
        self.strips[0].put(column, pixel)
