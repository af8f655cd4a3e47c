"""Convolutional encoder."""

import math
from collections.abc import Sequence

from torch import Tensor

from dgm_run.encoders.base import Encoder
from dgm_run.networks.conv import apply_over_batch, conv_layers, image_size
from dgm_run.networks.mlp import Activation, mlp


class ConvEncoder(Encoder):
    """Convolutions, gated or plain, followed by fully connected layers.

    Without fully connected layers the features are the output of the last convolution. The first fully connected layer
    equals an unpadded convolution whose kernel covers its whole input.

    Args:
        shape: shape of one example, (channels, height, width).
        channels: output channels of each convolution.
        kernel_sizes: kernel size of each convolution, odd.
        strides: stride of each convolution, by which it shrinks the image.
        activation: nonlinearity after each layer.
        batch_norm: whether batch normalisation precedes the nonlinearity of each convolution.
        hidden_dims: units of the fully connected layers.

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
        return self.above(apply_over_batch(self.network, x, 3).flatten(-3))
