"""Sentences word by word, each word given those before it.

Sources: I. Sutskever, O. Vinyals, Q. Le, Sequence to sequence learning with neural networks, 2014,
https://arxiv.org/abs/1409.3215 (the search by a beam).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.vocabulary import END, PAD, START, without_padding
from dgm_run.networks.rnn import OFFSET, State, TokenNetwork

LOGITS = 2**25
"""At a time where no gradient is asked for, which bounds the memory."""


class Sentence(Distribution):
    """p(w_1, ..., w_n, end) = prod_t p(w_t | w_1, ..., w_{t-1}, c). Events are rows of tokens, padded after the end.

    Densities count the end, and no padding. Draws that have not ended after `length` tokens are cut.

    Args:
        network: gives the logits of every token.
        context: c, (*batch, C); the batch alone counts where C is zero.
        length: T.
    """

    def __init__(self, network: TokenNetwork, context: Tensor, length: int):
        super().__init__(context.shape[:-1], torch.Size([length]))
        self.network, self.context = network, context

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError("tokens have no mean: use greedy()")

    def log_prob(self, value: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        tokens = value.long().expand(*batch, -1).reshape(-1, value.shape[-1])
        context = self._rows(batch)
        if torch.is_grad_enabled():
            return self._log_prob(tokens, context).view(batch).to(value.dtype)
        rows = max(1, LOGITS // (tokens.shape[1] * self.network.output.out_features))
        blocks = zip(tokens.split(rows), context.split(rows), strict=True)
        return torch.cat([self._log_prob(*block) for block in blocks]).view(batch).to(value.dtype)

    def _log_prob(self, tokens: Tensor, context: Tensor) -> Tensor:
        tokens = without_padding(tokens)
        logits = self.network(tokens, context)
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        predicted = tokens != PAD
        index = (tokens - OFFSET).clamp(min=0).unsqueeze(-1)
        return log_p.gather(-1, index).squeeze(-1).masked_fill(~predicted, 0.0).sum(-1)

    def _rows(self, batch: torch.Size) -> Tensor:
        return self.context.expand(*batch, self.context.shape[-1]).reshape(batch.numel(), self.context.shape[-1])

    @torch.no_grad()
    def sample(self, sample_shape: SampleShape = (), prefix: Tensor | None = None) -> Tensor:
        """Draws; after `prefix`, (*batch, t) tokens of unfinished sentences, if there is one."""
        return self._grow(
            torch.Size(sample_shape), lambda logits: torch.distributions.Categorical(logits=logits).sample(), prefix
        )

    @torch.no_grad()
    def greedy(self, prefix: Tensor | None = None) -> Tensor:
        """The likeliest token after token: (*batch, T)."""
        return self._grow(torch.Size(), lambda logits: logits.argmax(-1), prefix)

    def _grow(self, sample_shape: torch.Size, choose: Callable[[Tensor], Tensor], prefix: Tensor | None) -> Tensor:
        shape = sample_shape + self.batch_shape
        context = self._rows(shape)
        state, token = self._after(prefix, context)
        tokens = context.new_full((len(context), self.event_shape[0]), PAD, dtype=torch.long)
        first = 0
        if prefix is not None:
            first = prefix.shape[-1]
            tokens[:, :first] = prefix.long().reshape(-1, first)
        over = torch.zeros(len(context), dtype=torch.bool, device=context.device)
        for t in range(first, tokens.shape[1]):
            logits, state = self.network.step(token, context, state)
            token = (choose(logits) + OFFSET).masked_fill(over, PAD)
            tokens[:, t] = token
            over |= token == END
        return tokens.view(*shape, -1).to(self.context.dtype)

    def _after(self, prefix: Tensor | None, context: Tensor) -> tuple[State, Tensor]:
        """The state before the last token that is known, and that token, (N,)."""
        state = self.network.start(len(context), context)
        token = torch.full((len(context),), START, device=context.device)
        for column in [] if prefix is None else prefix.long().reshape(-1, prefix.shape[-1]).unbind(-1):
            _, state = self.network.step(token, context, state)
            token = column
        return state, token

    @torch.no_grad()
    def beam(self, width: int) -> Tensor:
        """The likeliest sentence that a search finds which keeps `width` beginnings: (*batch, T).

        Raises:
            ValueError: the beam has no width.
        """
        if width < 1:
            raise ValueError(f"width = {width} must be positive")
        context = self._rows(self.batch_shape)
        num, length = len(context), self.event_shape[0]
        context = context.repeat_interleave(width, 0)  # (N width, C)
        state, token = self._after(None, context)
        log_p = torch.full((num, width), -torch.inf, device=context.device)
        log_p[:, 0] = 0.0  # all beginnings are the same one
        tokens = torch.full((num, width, length), PAD, device=context.device)
        for t in range(length):
            logits, state = self.network.step(token, context, state)
            options = log_p.unsqueeze(-1) + self._continued(logits.float().log_softmax(-1), token).view(num, width, -1)
            log_p, chosen = options.flatten(1).topk(width)  # (N, width)
            parent, token = chosen // options.shape[-1], chosen % options.shape[-1]
            tokens = tokens.gather(1, parent.unsqueeze(-1).expand(-1, -1, length))
            tokens[:, :, t] = token
            rows = (parent + width * torch.arange(num, device=parent.device).unsqueeze(1)).flatten()
            state, token = tuple(each[:, rows].contiguous() for each in state), token.flatten()
        return tokens[:, 0].view(*self.batch_shape, length).to(self.context.dtype)

    def _continued(self, log_p: Tensor, token: Tensor) -> Tensor:
        """log p of every token as the next one, (N, V); after the end it is padding, at no cost."""
        whole = torch.cat([log_p.new_full((len(log_p), OFFSET), -torch.inf), log_p], 1)
        over = (token == END) | (token == PAD)
        whole[over] = -torch.inf
        whole[over, PAD] = 0.0
        return whole
