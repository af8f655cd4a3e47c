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
    convolve_preceding,
    layer_sizes,
    output_layer,
    pointwise,
    repeat_to,
    to_channels_last,
)


class PixelCNN(PixelNetwork):
    """PixelCNN: a first layer without the current pixel (mask A), and residual layers with it (mask B).

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
        sizes = layer_sizes(in_channels, channels, first_kernel_size, kernel_size, num_layers)
        self.above = ModuleList(
            RowsAbove(layer_channels, channels, size, has_own_row=False) for layer_channels, size in sizes
        )
        self.left = ModuleList(
            PixelsLeft(layer_channels, channels, size, has_own_pixel=i > 0)
            for i, (layer_channels, size) in enumerate(sizes)
        )
        self.from_context = ModuleList(pointwise(context_channels, channels) for _ in range(num_layers))
        self.output = output_layer(channels, out_channels)
        self.in_channels = in_channels
        self.channels = channels
        with torch.no_grad():  # the sum over the residual layers has the variance of one layer
            for layer in (*self.above[1:], *self.left[1:]):
                layer.conv.weight.mul_((num_layers - 1) ** -0.5)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the images

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
    """Sampler of a `PixelCNN`; the terms of the rows above are computed once a row.

    Args:
        network: network whose outputs it computes.
        context: (N, context channels, H, W).
    """

    def __init__(self, network: PixelCNN, context: Tensor):
        self.network = network
        projections = network.from_context
        self.context_terms = [project(context).permute(2, 0, 3, 1) for project in projections]  # (H, N, W, C) each
        channels = [network.in_channels] + [network.channels] * (len(network.left) - 1)
        self.caches = [RowCache(context, num, left.reach) for num, left in zip(channels, network.left, strict=True)]
        self.left_weights = [left.flatten_weight() for left in network.left]
        self.terms_above: list[Tensor] = []  # of rows above and context, (N, W, C) for each layer

    def begin_row(self, row: int) -> None:
        if row:
            for cache in self.caches:
                cache.end_row()
        layers = zip(self.network.above, self.caches, self.context_terms, strict=True)
        self.terms_above = [above.compute_row(cache.above) + context_term[row] for above, cache, context_term in layers]

    def compute_output(self, column: int) -> Tensor:
        h: Tensor | None = None
        for i, (cache, left_weight) in enumerate(zip(self.caches, self.left_weights, strict=True)):
            if h is not None:
                cache.put(column, h)
            window = cache.window(column, self.network.left[i].has_own_pixel)
            out = F.relu(self.terms_above[i][:, column] + window @ left_weight)
            h = out if h is None else h + out
        assert h is not None
        return apply_at_pixel(self.network.output, h)

    def put(self, column: int, pixel: Tensor) -> None:
        self.caches[0].put(column, pixel)
