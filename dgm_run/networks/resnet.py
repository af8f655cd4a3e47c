"""Residual networks over images.

Source: K. He et al., Identity mappings in deep residual networks, 2016, https://arxiv.org/abs/1603.05027.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.networks.conv import conv


class ResidualBlock(nn.Module):
    """x + two 3 x 3 convolutions of it, ELU before each; at the start x itself."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = conv(channels, channels, 3), conv(channels, channels, 3)
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.elu(self.first(F.elu(x))))
