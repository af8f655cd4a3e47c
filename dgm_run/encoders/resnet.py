"""Residual encoder."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from dgm_run.encoders.base import Encoder
from dgm_run.networks.conv import apply_over_batch, conv, image_size
from dgm_run.networks.resnet import ResidualBlock, check_stages


class ResNetEncoder(Encoder):
    """Stages of residual blocks; each stage halves the image size of its predecessor.

    Args:
        shape: shape of one example, (channels, height, width).
        channels: channels of each stage.
        num_blocks: residual blocks in each stage.

    Raises:
        ValueError: the examples are no images, or there is no stage.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], num_blocks: int):
        super().__init__()
        check_stages(channels, num_blocks)
        in_channels, height, width = image_size(shape)
        layers: list[nn.Module] = []
        for stage, out_channels in enumerate(channels):
            layers.append(conv(in_channels, out_channels, 3, stride=2 if stage else 1))
            layers += [ResidualBlock(out_channels) for _ in range(num_blocks)]
            in_channels = out_channels
        self.network = nn.Sequential(*layers, nn.ELU())
        factor = 2 ** (len(channels) - 1)
        self.feature_dim = channels[-1] * math.ceil(height / factor) * math.ceil(width / factor)

    def forward(self, x: Tensor) -> Tensor:
        return apply_over_batch(self.network, x, 3).flatten(-3)
