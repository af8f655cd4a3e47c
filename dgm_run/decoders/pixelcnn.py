"""The PixelCNN as a decoder.

Source: I. Gulrajani et al., PixelVAE, 2017, https://arxiv.org/abs/1611.05013.
"""

from dgm_run.decoders.autoregressive import AutoregressiveDecoder
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.conv import image_size
from dgm_run.networks.pixelcnn import PixelCNN


class PixelCNNDecoder(AutoregressiveDecoder):
    """p(x | z) pixel by pixel.

    Args:
        latent_dim: L.
        map_channels: of the maps that z becomes.
        channels: of every layer.
        first_kernel_size: of the first layer, odd.
        kernel_size: of the others, odd.
        num_layers: all of them.
        likelihood: of a pixel.
    """

    def __init__(
        self,
        latent_dim: int,
        map_channels: int,
        channels: int,
        first_kernel_size: int,
        kernel_size: int,
        num_layers: int,
        likelihood: Likelihood,
    ):
        in_channels, _, _ = image_size(likelihood.shape)
        out_channels = likelihood.num_params * in_channels
        network = PixelCNN(
            in_channels, out_channels, channels, first_kernel_size, kernel_size, num_layers, map_channels
        )
        super().__init__(latent_dim, map_channels, likelihood, network)
