"""Residual networks over images.

Source: K. He et al., Identity mappings in deep residual networks, 2016, https://arxiv.org/abs/1603.05027.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.conv import conv


def check_stages(channels: Sequence[int], num_blocks: int) -> None:
    """Checks the stages of a residual network.

    Raises:
        ValueError: there is no stage, or a negative number of blocks.
    """
    if not channels:
        raise ValueError("channels = [] is empty: a residual network needs a stage")
    if num_blocks < 0:
        raise ValueError(f"num_blocks = {num_blocks} must not be negative")


class ResidualBlock(nn.Module):
    """Residual block x + conv(ELU(conv(ELU(x)))) of 3 x 3 convolutions; it starts near the identity."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = conv(channels, channels, 3)
        self.second = conv(channels, channels, 3)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.elu(self.first(F.elu(x))))
