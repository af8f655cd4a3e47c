"""Networks over images whose output at a pixel depends on the preceding pixels, row by row from the top left.

Masks are unnecessary: convolutions over the rows above and over the pixels to the left read no later pixel.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.conv import conv


def layer_sizes(
    in_channels: int, channels: int, first_kernel_size: int, kernel_size: int, num_layers: int
) -> list[tuple[int, int]]:
    """Returns the input channels and the kernel size of each layer.

    Raises:
        ValueError: a kernel is even or narrower than three, or there is no layer.
    """
    for size in (first_kernel_size, kernel_size):
        if size < 3 or size % 2 == 0:
            raise ValueError(f"kernel_size = {size} must be odd, and three or more")
    if num_layers < 1:
        raise ValueError(f"num_layers = {num_layers} must be positive")
    return [(in_channels, first_kernel_size)] + [(channels, kernel_size)] * (num_layers - 1)


class RowsAbove(nn.Module):
    """Convolution of width `kernel_size` over the kernel_size // 2 rows above each pixel.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        has_own_row: whether it also reads the pixel's own row.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, has_own_row: bool):
        super().__init__()
        self.reach = kernel_size // 2
        self.has_own_row = has_own_row
        self.conv = _initialize(nn.Conv2d(in_channels, out_channels, (self.reach + has_own_row, kernel_size)))

    def forward(self, x: Tensor) -> Tensor:
        inputs = x if self.has_own_row else x[..., :-1, :]
        return self.conv(F.pad(inputs, (self.reach, self.reach, self.reach, 0)))

    def compute_row(self, rows: Tensor) -> Tensor:
        """Computes one row of the output, (N, W, out), from all rows it depends on, (N, in, rows, W)."""
        return self.conv(F.pad(rows, (self.reach, self.reach))).squeeze(2).mT


class PixelsLeft(nn.Module):
    """Convolution over the kernel_size // 2 pixels to the left of each pixel.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: odd.
        has_own_pixel: whether it also reads the pixel itself.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, has_own_pixel: bool):
        super().__init__()
        self.reach = kernel_size // 2
        self.has_own_pixel = has_own_pixel
        self.conv = _initialize(nn.Conv2d(in_channels, out_channels, (1, self.reach + has_own_pixel), bias=False))

    def forward(self, x: Tensor) -> Tensor:
        inputs = x if self.has_own_pixel else x[..., :-1]
        return self.conv(F.pad(inputs, (self.reach, 0)))

    def flatten_weight(self) -> Tensor:
        """Returns the matrix from the concatenated input pixels to the output: (pixels * in, out)."""
        return self.conv.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)


def _initialize(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolve_preceding(x: Tensor, above: RowsAbove, left: PixelsLeft) -> Tensor:
    """Applies both layers as one square convolution, padded by zeros: square kernels are the fastest."""
    reach = left.reach
    kernel_width = left.conv.weight.shape[-1]
    own_row = F.pad(left.conv.weight, (0, 2 * reach + 1 - kernel_width, 0, reach))
    weight = torch.cat([above.conv.weight, own_row], 2)
    return F.conv2d(x, weight, above.conv.bias, padding=reach)


class PixelNetwork(nn.Module, ABC):
    """Network forward(x, context): (B, in, H, W), (N, context channels, H, W) -> (N, out, H, W), N a multiple of B.

    The output at a pixel depends on the preceding pixels of x, and on the context at and around the pixel. If N exceeds
    B, the images repeat, and the first layer processes each of them once.
    """

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor) -> Tensor: ...

    @abstractmethod
    def build_sampler(self, context: Tensor) -> "PixelSampler":
        """Returns a sampler that computes the same outputs pixel by pixel."""


class PixelSampler(ABC):
    """Sampler of images pixel by pixel, with a cache of the rows that later pixels depend on.

    For each row, from the top: `begin_row`, then for each column `compute_output`, a draw, and `put`.
    """

    @abstractmethod
    def begin_row(self, row: int) -> None: ...

    @abstractmethod
    def compute_output(self, column: int) -> Tensor:
        """Computes the output at a pixel of the row, (N, out), once all preceding pixels are known."""

    @abstractmethod
    def put(self, column: int, pixel: Tensor) -> None:
        """Stores the drawn pixel, (N, in)."""


class RowCache:
    """Input cache of a layer while an image grows: `reach` rows above, and the current row.

    Attributes:
        above: (N, channels, reach, W).
        row: (N, reach + W, channels), with zeros left of the image.
    """

    def __init__(self, like: Tensor, channels: int, reach: int):
        num, _, _, width = like.shape
        self.reach = reach
        self.above = like.new_zeros(num, channels, reach, width)
        self.row = like.new_zeros(num, reach + width, channels)

    def window(self, column: int, has_own_pixel: bool) -> Tensor:
        """Returns the pixels to the left, then the pixel itself if `has_own_pixel`: (N, pixels * channels)."""
        return self.row[:, column : column + self.reach + has_own_pixel].flatten(1)

    def put(self, column: int, value: Tensor) -> None:
        self.row[:, self.reach + column] = value

    def end_row(self) -> None:
        self.above = F.pad(self.above, (0, 0, -1, 1))
        self.above[:, :, -1] = self.row[:, self.reach :].mT


def to_channels_last(x: Tensor) -> Tensor:
    """Converts images to the memory layout of the fastest convolutions."""
    return x.contiguous(memory_format=torch.channels_last)


def repeat_to(num: int, x: Tensor) -> Tensor:
    """Repeats images, (B, C, H, W), until there are `num`."""
    return x if len(x) == num else x.repeat(num // len(x), 1, 1, 1)


def pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Builds a linear map of the channels of each pixel."""
    return conv(in_channels, out_channels, 1)


def output_layer(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Builds a pointwise layer with small weights, so that pixels start near log-odds of zero.

    Its input, a sum over layers, has a large variance.
    """
    layer = pointwise(in_channels, out_channels)
    with torch.no_grad():
        layer.weight.mul_(0.01)
    return layer


def apply_at_pixel(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """Applies a pointwise layer to one pixel: (..., in) -> (..., out)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)
