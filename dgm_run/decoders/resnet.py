"""Residual decoder."""

from collections.abc import Sequence

from torch import Tensor, nn

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.base import Distribution
from dgm_run.likelihoods.base import Likelihood
from dgm_run.networks.conv import Upsample, apply_over_batch, conv, divide_size, image_size
from dgm_run.networks.linear import linear
from dgm_run.networks.resnet import ResidualBlock, check_stages


class ResNetDecoder(Decoder):
    """Stages of residual blocks; each stage doubles the image size of its predecessor. Pixels are independent given z.

    Args:
        latent_dim: L.
        channels: channels of each stage.
        num_blocks: residual blocks in each stage.
        likelihood: likelihood of the pixels.

    Raises:
        ValueError: the examples are no images, their size cannot be halved so often, or there is no stage.
    """

    def __init__(self, latent_dim: int, channels: Sequence[int], num_blocks: int, likelihood: Likelihood):
        super().__init__()
        check_stages(channels, num_blocks)
        self.likelihood = likelihood
        out_channels, height, width = image_size(likelihood.shape)
        height, width = divide_size(height, width, 2 ** (len(channels) - 1))
        layers: list[nn.Module] = [
            linear(latent_dim, channels[0] * height * width),
            nn.Unflatten(-1, (channels[0], height, width)),
        ]
        in_channels = channels[0]
        for stage, stage_channels in enumerate(channels):
            if stage > 0:
                layers += [Upsample(2), conv(in_channels, stage_channels, 3)]
            layers += [ResidualBlock(stage_channels) for _ in range(num_blocks)]
            in_channels = stage_channels
        self.network = nn.Sequential(
            *layers,
            nn.ELU(),
            conv(in_channels, likelihood.num_params * out_channels, 1),
            nn.Unflatten(1, (likelihood.num_params, out_channels)),
        )

    def forward(self, z: Tensor) -> Distribution:
        return self.likelihood(apply_over_batch(self.network, z, 1).to(z.dtype))
