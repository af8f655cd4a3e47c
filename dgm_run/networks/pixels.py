"""Networks over images whose outputs at a pixel see the pixels before it, row by row from the top left.

No mask is needed: a convolution over the rows above and one over the pixels to the left have nothing to leave out.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.conv import conv


def check_sizes(first_kernel_size: int, kernel_size: int, num_layers: int) -> None:
    """Raises a ValueError where a kernel has no middle, or nothing beside it, or there is no layer."""
    for size in (first_kernel_size, kernel_size):
        if size < 3 or size % 2 == 0:
            raise ValueError(f"kernel_size = {size} must be odd, and three or more")
    if num_layers < 1:
        raise ValueError(f"num_layers = {num_layers} must be positive")


class RowsAbove(nn.Module):
    """A convolution, `kernel_size` wide, over as many rows above each pixel as half its width.

    Args:
        own_row: whether the row of the pixel itself is seen as well.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, own_row: bool):
        super().__init__()
        self.reach = kernel_size // 2
        self.own_row = own_row
        self.conv = _started(nn.Conv2d(in_channels, out_channels, (self.reach + own_row, kernel_size)))

    def forward(self, x: Tensor) -> Tensor:
        seen = x if self.own_row else x[..., :-1, :]
        return self.conv(F.pad(seen, (self.reach, self.reach, self.reach, 0)))

    def row(self, rows: Tensor) -> Tensor:
        """One row of the output, (N, W, out), by all the rows it sees, (N, in, rows, W)."""
        return self.conv(F.pad(rows, (self.reach, self.reach))).squeeze(2).mT


class Left(nn.Module):
    """A convolution over as many pixels to the left of each as half the `kernel_size`.

    Args:
        own_pixel: whether the pixel itself is seen as well.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, own_pixel: bool):
        super().__init__()
        self.reach = kernel_size // 2
        self.own_pixel = own_pixel
        self.conv = _started(nn.Conv2d(in_channels, out_channels, (1, self.reach + own_pixel), bias=False))

    def forward(self, x: Tensor) -> Tensor:
        seen = x if self.own_pixel else x[..., :-1]
        return self.conv(F.pad(seen, (self.reach, 0)))

    def matrix(self) -> Tensor:
        """From the pixels seen, one after another, to the output: (pixels in, out)."""
        return self.conv.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)


def _started(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def before(x: Tensor, above: RowsAbove, left: Left) -> Tensor:
    """Both together, as one convolution with zeros where they do not look: a square kernel is the fastest there is."""
    reach = left.reach
    seen = left.conv.weight.shape[-1]
    own_row = F.pad(left.conv.weight, (0, 2 * reach + 1 - seen, 0, reach))
    weight = torch.cat([above.conv.weight, own_row], 2)
    return F.conv2d(x, weight, above.conv.bias, padding=reach)


class PixelNetwork(nn.Module, ABC):
    """forward(x, context): (B, in, H, W), (N, context, H, W) -> (N, out, H, W), N a multiple of B.

    The output at a pixel depends on the pixels of x before it, and on the context there and around it. Where N
    exceeds B the images repeat, and the first layer sees each of them once.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor) -> Tensor: ...

    @abstractmethod
    def sampler(self, context: Tensor) -> "PixelSampler":
        """Gives the same outputs one by one, while the pixels become known."""


class PixelSampler(ABC):
    """Keeps of each layer the rows that those to come will see. Rows are begun from the top."""

    @abstractmethod
    def begin_row(self, row: int) -> None: ...

    @abstractmethod
    def output(self, column: int) -> Tensor:
        """(N, out) at a pixel of the row, once all before it are known."""

    @abstractmethod
    def put(self, column: int, pixel: Tensor) -> None:
        """Tells the pixel, (N, in)."""


class Strip:
    """What a layer reads of its input while an image grows: `reach` rows above, and the row in progress.

    Attributes:
        above: (N, channels, reach, W).
        row: (N, reach + W, channels), with zeros to the left of the image.
    """

    def __init__(self, like: Tensor, channels: int, reach: int):
        num, _, _, width = like.shape
        self.reach = reach
        self.above = like.new_zeros(num, channels, reach, width)
        self.row = like.new_zeros(num, reach + width, channels)

    def window(self, column: int, own_pixel: bool) -> Tensor:
        """The pixels to the left, and the one itself if asked for, one after another: (N, pixels channels)."""
        return self.row[:, column : column + self.reach + own_pixel].flatten(1)

    def put(self, column: int, value: Tensor) -> None:
        self.row[:, self.reach + column] = value

    def end_row(self) -> None:
        self.above = F.pad(self.above, (0, 0, -1, 1))
        self.above[:, :, -1] = self.row[:, self.reach :].mT


def channels_last(x: Tensor) -> Tensor:
    """The same images, laid out as convolutions are fastest."""
    return x.contiguous(memory_format=torch.channels_last)


def repeated_to(num: int, x: Tensor) -> Tensor:
    """Images, (B, C, H, W), over and over until there are `num`."""
    return x if len(x) == num else x.repeat(num // len(x), 1, 1, 1)


def pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A linear map of the channels of every pixel."""
    return conv(in_channels, out_channels, 1)


def output_layer(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A pointwise layer that starts small: layers that add to one another have grown, and pixels start undecided."""
    layer = pointwise(in_channels, out_channels)
    with torch.no_grad():
        layer.weight.mul_(0.01)
    return layer


def at_pixel(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A pointwise layer at one pixel: (..., in) -> (..., out)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)
