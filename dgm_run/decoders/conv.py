"""Convolutional decoder."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.conv import apply_over_batch, conv, conv_layers, divide_size, image_size
from dgm_run.networks.linear import linear
from dgm_run.networks.mlp import Activation


class ConvDecoder(Decoder):
    """Linear map from z to a small image, then upsampling and convolutions. Pixels are independent given z.

    Args:
        latent_dim: L.
        base_channels: channels of the small image.
        channels: output channels of each convolution.
        kernel_sizes: kernel size of each convolution, odd.
        strides: factor by which the image is enlarged before each convolution.
        activation: nonlinearity after each layer.
        batch_norm: whether batch normalisation precedes the nonlinearity of each layer.
        likelihood: likelihood of the pixels.

    Raises:
        ValueError: the examples are no images, the strides do not divide their size, or the lists do not fit.
    """

    def __init__(
        self,
        latent_dim: int,
        base_channels: int,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        strides: Sequence[int],
        activation: Activation,
        batch_norm: bool,
        likelihood: Likelihood,
    ):
        super().__init__()
        self.likelihood = likelihood
        out_channels, height, width = image_size(likelihood.shape)
        height, width = divide_size(height, width, math.prod(strides))
        self.network = nn.Sequential(
            linear(latent_dim, base_channels * height * width),
            nn.Unflatten(-1, (base_channels, height, width)),
            conv_layers(base_channels, channels, kernel_sizes, strides, activation, batch_norm, is_upsampling=True),
            conv(channels[-1] if channels else base_channels, likelihood.num_params * out_channels, 1),
            nn.Unflatten(1, (likelihood.num_params, out_channels)),
        )

    def forward(self, z: Tensor) -> Distribution:
        return self.likelihood(apply_over_batch(self.network, z, 1).to(z.dtype))
