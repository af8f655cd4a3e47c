"""Autoregressive distribution over images, pixel by pixel.

Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, 2016,
https://arxiv.org/abs/1601.06759.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.networks.pixels import PixelNetwork

MAX_IMAGES = 500
"""Number of images in one pass of the network without gradients, which bounds the memory."""


class PixelByPixel(Distribution):
    """p(x) = prod_i p(x_i | x_1, ..., x_{i-1}), row by row; a pixel's channels are independent given earlier pixels.

    Args:
        network: computes the parameters of every pixel.
        context: (*batch, context channels, H, W).
        likelihood: maps parameters, (*batch, P, channels, h, w), to a distribution over images of h x w pixels.
        channels: channels of an image.
        num_params: P.
    """

    def __init__(
        self,
        network: PixelNetwork,
        context: Tensor,
        likelihood: Callable[[Tensor], Distribution],
        channels: int,
        num_params: int,
    ):
        super().__init__(context.shape[:-3], torch.Size([channels, *context.shape[-2:]]))
        self.network = network
        self.context = context
        self.likelihood = likelihood
        self.num_params = num_params

    def log_prob(self, value: Tensor) -> Tensor:
        value_batch = value.shape[:-3]
        batch = torch.broadcast_shapes(value_batch, self.batch_shape)
        context = self._expand_context(batch)
        # the network itself repeats images over leading axes, and runs its first layer once for each of them
        if batch[len(batch) - len(value_batch) :] != value_batch:
            value = value.expand(*batch, *self.event_shape)
        x = value.reshape(-1, *self.event_shape)
        if torch.is_grad_enabled():
            return self._log_prob(x, context).view(batch)
        blocks = _split_blocks(x, context)
        return torch.cat([self._log_prob(images, contexts) for images, contexts in blocks]).view(batch)

    def _expand_context(self, batch: torch.Size) -> Tensor:
        """Returns one context for each image of a batch, (N, context channels, H, W)."""
        shape = self.context.shape[-3:]
        return self.context.expand(*batch, *shape).reshape(-1, *shape)

    def _log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        """Computes log p(x) for contexts, (N, ...), and images, (B, ...), which repeat until there are N: (N,)."""
        params = self.network(_center(x), context).to(x.dtype)
        p = self.likelihood(params.unflatten(1, (self.num_params, -1)))
        return p.log_prob(x.repeat(len(context) // len(x), 1, 1, 1))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._draw(sample_shape)[0]

    @property
    def mean(self) -> Tensor:
        """Conditional mean of every pixel given its predecessors in one draw, (*batch, *event)."""
        return self._draw(())[1]

    @torch.no_grad()
    def _draw(self, sample_shape: SampleShape) -> tuple[Tensor, Tensor]:
        """Draws images; returns them and the conditional mean of each pixel."""
        batch = torch.Size(sample_shape) + self.batch_shape
        context = self._expand_context(batch)
        channels, height, width = self.event_shape
        x = context.new_zeros(len(context), channels, height, width)
        means = torch.zeros_like(x)
        sampler = self.network.build_sampler(context)
        for row in range(height):
            sampler.begin_row(row)
            for column in range(width):
                params = sampler.compute_output(column).to(x.dtype).view(-1, self.num_params, channels, 1, 1)
                p = self.likelihood(params)
                means[:, :, row, column] = p.mean.flatten(1)
                x[:, :, row, column] = p.sample().flatten(1)
                sampler.put(column, _center(x[:, :, row, column]))
        return x.view(*batch, *self.event_shape), means.view(*batch, *self.event_shape)


def _split_blocks(x: Tensor, context: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields images and contexts, at most `MAX_IMAGES` contexts at a time; images repeat over the contexts."""
    if len(x) <= MAX_IMAGES:
        per_block = MAX_IMAGES // len(x) * len(x)
        for contexts in context.split(per_block):
            yield x, contexts
        return
    if len(x) < len(context):
        x = x.expand(len(context) // len(x), *x.shape).flatten(0, 1)
    yield from zip(x.split(MAX_IMAGES), context.split(MAX_IMAGES), strict=True)


def _center(x: Tensor) -> Tensor:
    """Maps [0, 1] to [-1, 1], so that zero padding is grey and no black pixel looks like the edge."""
    return 2 * x - 1
