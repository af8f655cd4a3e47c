"""The PixelCNN: masked convolutions, which leave a blind spot above to the right.

Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, 2016,
https://arxiv.org/abs/1601.06759.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.networks.module_list import ModuleList
from dgm_run.networks.pixels import (
    Left,
    PixelNetwork,
    PixelSampler,
    RowsAbove,
    Strip,
    at_pixel,
    before,
    channels_last,
    check_sizes,
    output_layer,
    pointwise,
    repeated_to,
)


class PixelCNN(PixelNetwork):
    """One layer that does not see the pixel itself (mask A), then residual ones that do (mask B).

    A masked convolution is the sum of one over the rows above and one over the pixels to the left.

    Args:
        in_channels: of an image.
        out_channels: of the output.
        context_channels: of the context, which every layer and the output read at the pixel itself.
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
        widths = [in_channels] + [channels] * (num_layers - 1)
        sizes = [first_kernel_size] + [kernel_size] * (num_layers - 1)
        pairs = list(zip(widths, sizes, strict=True))
        self.above = ModuleList(RowsAbove(width, channels, size, own_row=False) for width, size in pairs)
        self.left = ModuleList(Left(width, channels, size, own_pixel=i > 0) for i, (width, size) in enumerate(pairs))
        self.from_context = ModuleList(pointwise(context_channels, channels) for _ in range(num_layers))
        self.output = output_layer(channels, out_channels)
        self.in_channels, self.channels = in_channels, channels
        with torch.no_grad():  # what so many layers add to one another is to stay as large as it was
            for layer in (*self.above[1:], *self.left[1:]):
                layer.conv.weight.mul_((num_layers - 1) ** -0.5)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x, context = channels_last(x), channels_last(context)
        h: Tensor | None = None
        for above, left, told in zip(self.above, self.left, self.from_context, strict=True):
            if h is None:
                h = F.relu(repeated_to(len(context), before(x, above, left)) + told(context))
            else:
                h = h + F.relu(before(h, above, left) + told(context))
        return self.output(h)

    def sampler(self, context: Tensor) -> "PixelCNNSampler":
        return PixelCNNSampler(self, context)


class PixelCNNSampler(PixelSampler):
    def __init__(self, network: PixelCNN, context: Tensor):
        self.network = network
        self.told = [told(context).permute(2, 0, 3, 1) for told in network.from_context]  # (H, N, W, C) each
        widths = [network.in_channels] + [network.channels] * (len(network.left) - 1)
        self.strips = [Strip(context, width, left.reach) for width, left in zip(widths, network.left, strict=True)]
        self.matrices = [left.matrix() for left in network.left]
        self.from_above: list[Tensor] = []

    def begin_row(self, row: int) -> None:
        if row:
            for strip in self.strips:
                strip.end_row()
        layers = zip(self.network.above, self.strips, self.told, strict=True)
        self.from_above = [above.row(strip.above) + told[row] for above, strip, told in layers]

    def output(self, column: int) -> Tensor:
        h: Tensor | None = None
        for i, (strip, matrix) in enumerate(zip(self.strips, self.matrices, strict=True)):
            if h is not None:
                strip.put(column, h)
            window = strip.window(column, self.network.left[i].own_pixel)
            out = F.relu(self.from_above[i][:, column] + window @ matrix)
            h = out if h is None else h + out
        assert h is not None
        return at_pixel(self.network.output, h)

    def put(self, column: int, pixel: Tensor) -> None:
        self.strips[0].put(column, pixel)
