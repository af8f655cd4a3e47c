"""Decoder that draws an image pixel by pixel, with any `PixelNetwork`.

Sources: A. van den Oord et al., Conditional image generation with PixelCNN decoders, 2016,
https://arxiv.org/abs/1606.05328; I. Gulrajani et al., PixelVAE, 2017, https://arxiv.org/abs/1611.05013.
"""

from collections.abc import Callable

from torch import Tensor

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.pixel_by_pixel import PixelByPixel
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.conv import image_size
from dgm_run.networks.linear import linear


class AutoregressiveDecoder(Decoder):
    """p(x | z) = prod_i p(x_i | x_1, ..., x_{i-1}, z). Every layer reads feature maps that are linear in z.

    Args:
        latent_dim: L.
        map_channels: channels of the feature maps.
        network: builds a `PixelNetwork` from the channels of an image, of the parameters and of the feature maps.
        likelihood: likelihood of a pixel.

    Raises:
        ValueError: the examples are no images, or the likelihood has separate parameters for each pixel.
    """

    def __init__(self, latent_dim: int, map_channels: int, network: Callable, likelihood: Likelihood):
        super().__init__()
        if not likelihood.is_stationary:
            raise ValueError(
                "likelihood.learn_scale=element does not fit a decoder that draws single pixels: set "
                "likelihood.learn_scale to no, shared or predicted"
            )
        channels, height, width = image_size(likelihood.shape)
        self.likelihood = likelihood
        self.network = network(channels, likelihood.num_params * channels, map_channels)
        self.map_shape = (map_channels, height, width)
        self.to_maps = linear(latent_dim, map_channels * height * width)

    def forward(self, z: Tensor) -> PixelByPixel:
        maps = self.to_maps(z).unflatten(-1, self.map_shape).to(z.dtype)
        return PixelByPixel(self.network, maps, self.likelihood, self.likelihood.shape[0], self.likelihood.num_params)
