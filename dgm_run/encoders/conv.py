"""A convolutional network."""

import math
from collections.abc import Sequence

from torch import Tensor

from dgm_run.encoders.base import Encoder
from dgm_run.networks.conv import conv_layers, image_size, over_batch
from dgm_run.networks.mlp import Activation, mlp


class ConvEncoder(Encoder):
    """Convolutions, gated or plain, and above them layers that take all positions together.

    Without such layers the features are all that the last convolution gives. The first of them is an unpadded
    convolution with a kernel as large as what it sees.

    Args:
        shape: of one example, (channels, height, width).
        channels: of every layer.
        kernel_sizes: of every layer, odd.
        strides: of every layer; an image becomes so much smaller.
        activation: after every layer.
        batch_norm: of every convolution, before its activation.
        hidden_dims: of the layers above them.

    Raises:
        ValueError: the examples are no images, or the lists do not fit.
    """

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        activation: Activation,
        batch_norm: bool,
        hidden_dims: Sequence[int],
    ):
        super().__init__()
        in_channels, height, width = image_size(shape)
        self.network = conv_layers(in_channels, channels, kernel_sizes, strides, activation, batch_norm)
        for stride in strides:
            height = math.ceil(height / stride)
            width = math.ceil(width / stride)
        dim = (channels[-1] if channels else in_channels) * height * width
        self.above = mlp(dim, hidden_dims, activation)
        self.feature_dim = hidden_dims[-1] if hidden_dims else dim

    def forward(self, x: Tensor) -> Tensor:
        return self.above(over_batch(self.network, x, 3).flatten(-3))
