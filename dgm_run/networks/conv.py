"""Convolutions over images, with their initialization."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.mlp import Activation, Nonlinearity


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Builds a convolution that keeps the size of an image, or divides it by the stride, rounded up.

    Raises:
        ValueError: a size is not positive, or the kernel size is even.
    """
    if min(in_channels, out_channels, kernel_size, stride) < 1:
        raise ValueError(
            f"a convolution from {in_channels} to {out_channels} channels with kernel size {kernel_size} and stride "
            f"{stride}: all of these must be positive"
        )
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_sizes: {kernel_size} is even: choose an odd number")
    layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class Upsample(nn.Module):
    """Nearest-neighbour upsampling by `factor` in both directions."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="nearest")


def conv_layers(
    in_channels: int,
    channels: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    activation: Activation,
    batch_norm: bool,
    is_upsampling: bool = False,
) -> nn.Sequential:
    """Builds convolutions with a nonlinearity after each, (B, in, H, W) -> (B, channels[-1], H', W').

    Args:
        in_channels: channels of the input.
        channels: output channels of each layer.
        kernel_sizes: kernel size of each layer, odd.
        strides: factor by which each layer changes the size of the image.
        activation: nonlinearity after each layer.
        batch_norm: whether batch normalisation precedes each nonlinearity.
        is_upsampling: whether strides enlarge the image; otherwise they shrink it.

    Raises:
        ValueError: the lists differ in length, or a size is not positive.
    """
    if not len(channels) == len(kernel_sizes) == len(strides):
        raise ValueError(
            f"channels, kernel_sizes and strides need one element for each layer: they have {len(channels)}, "
            f"{len(kernel_sizes)} and {len(strides)}"
        )
    if min(strides, default=1) < 1:
        raise ValueError(f"strides = {list(strides)} must be positive")
    layers: list[nn.Module] = []
    for out_channels, kernel_size, stride in zip(channels, kernel_sizes, strides, strict=True):
        nonlinearity = Nonlinearity(activation, axis=-3)
        if is_upsampling and stride > 1:
            layers.append(Upsample(stride))
        conv_channels = nonlinearity.inputs * out_channels
        layers.append(conv(in_channels, conv_channels, kernel_size, 1 if is_upsampling else stride))
        if batch_norm:
            layers.append(nn.BatchNorm2d(conv_channels))
        layers.append(nonlinearity)
        in_channels = out_channels
    return nn.Sequential(*layers)


def apply_over_batch(network: nn.Module, x: Tensor, event_dims: int) -> Tensor:
    """Applies a network over examples to any batch of them: (*batch, *event) -> (*batch, *output).

    Args:
        network: (N, *event) -> (N, *output).
        x: (*batch, *event).
        event_dims: number of axes of an example.
    """
    batch = x.shape[: x.dim() - event_dims]
    if len(batch) == 1:
        return network(x)
    flat = x.reshape(-1, *x.shape[len(batch) :])
    return network(flat).unflatten(0, batch)


def image_size(shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns channels, height and width.

    Raises:
        ValueError: `shape` is not that of an image.
    """
    if len(shape) != 3:
        raise ValueError(
            f"shape = {list(shape)}: convolutions need images, [channels, height, width]: choose encoder=mlp and "
            "decoder=mlp"
        )
    channels, height, width = shape
    return channels, height, width


def divide_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Returns height and width at the start of a decoder that enlarges them by `factor`.

    Raises:
        ValueError: `factor` is not positive, or does not divide height and width.
    """
    if factor < 1:
        raise ValueError("strides must be positive")
    if height % factor or width % factor:
        raise ValueError(
            f"image size {height} x {width} is not divisible by {factor}, the decoder's total stride: choose other "
            "strides, or fewer stages"
        )
    return height // factor, width // factor
