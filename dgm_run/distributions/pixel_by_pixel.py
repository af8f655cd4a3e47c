"""Images pixel by pixel, each given those before it.

Source: A. van den Oord, N. Kalchbrenner, K. Kavukcuoglu, Pixel recurrent neural networks, 2016,
https://arxiv.org/abs/1601.06759.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.networks.pixels import PixelNetwork

ROWS = 500
"""Images that go through the network at a time where no gradient is asked for, which bounds the memory."""


class PixelByPixel(Distribution):
    """p(x) = prod_i p(x_i | x_1, ..., x_{i-1}), pixels row by row, the channels of a pixel independent given those.

    Args:
        network: gives the parameters of every pixel.
        context: (*batch, context, H, W).
        likelihood: parameters, (*batch, P, channels, h, w), to a distribution over images of h x w pixels.
        channels: of an image.
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
        self.network, self.context, self.likelihood, self.num_params = network, context, likelihood, num_params

    def log_prob(self, value: Tensor) -> Tensor:
        own = value.shape[:-3]
        batch = torch.broadcast_shapes(own, self.batch_shape)
        context = self.context.expand(*batch, *self.context.shape[-3:]).flatten(0, -4) if batch else self.context[None]
        if batch[len(batch) - len(own) :] != own:
            value = value.expand(*batch, *self.event_shape)
        x = value.reshape(-1, *self.event_shape)
        if torch.is_grad_enabled():
            return self._log_prob(x, context).view(batch)
        if len(x) <= ROWS:  # and repeat
            per_block = ROWS // len(x) * len(x)
            return torch.cat([self._log_prob(x, block) for block in context.split(per_block)]).view(batch)
        x = x.expand(len(context) // len(x), *x.shape).flatten(0, 1) if len(x) < len(context) else x
        pairs = zip(x.split(ROWS), context.split(ROWS), strict=True)
        return torch.cat([self._log_prob(images, block) for images, block in pairs]).view(batch)

    def _log_prob(self, x: Tensor, context: Tensor) -> Tensor:
        params = self.network(_centred(x), context).to(x.dtype)
        p = self.likelihood(params.unflatten(1, (self.num_params, -1)))
        return p.log_prob(x.repeat(len(context) // len(x), 1, 1, 1))

    def sample(self, sample_shape: SampleShape = ()) -> Tensor:
        return self._draw(sample_shape)[0]

    @property
    def mean(self) -> Tensor:
        """The mean of every pixel given those before it in one draw, (*batch, *event)."""
        return self._draw(())[1]

    @torch.no_grad()
    def _draw(self, sample_shape: SampleShape) -> tuple[Tensor, Tensor]:
        """A draw, and the mean of each of its pixels given those before."""
        batch = torch.Size(sample_shape) + self.batch_shape
        context = self.context.expand(*batch, *self.context.shape[-3:]).reshape(-1, *self.context.shape[-3:])
        channels, height, width = self.event_shape
        x = context.new_zeros(len(context), channels, height, width)
        means = torch.zeros_like(x)
        sampler = self.network.sampler(context)
        for row in range(height):
            sampler.begin_row(row)
            for column in range(width):
                params = sampler.output(column).to(x.dtype).view(-1, self.num_params, channels, 1, 1)
                p = self.likelihood(params)
                means[:, :, row, column] = p.mean.flatten(1)
                x[:, :, row, column] = p.sample().flatten(1)
                sampler.put(column, _centred(x[:, :, row, column]))
        return x.view(*batch, *self.event_shape), means.view(*batch, *self.event_shape)


def _centred(x: Tensor) -> Tensor:
    """So that the zeros beyond the edge are grey, and no black pixel looks like the edge."""
    return 2 * x - 1
