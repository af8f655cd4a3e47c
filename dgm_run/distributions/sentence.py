"""Autoregressive distribution over sentences, word by word.

Sources: I. Sutskever, O. Vinyals, Q. Le, Sequence to sequence learning with neural networks, 2014,
https://arxiv.org/abs/1409.3215 (beam search).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution, SampleShape
from dgm_run.distributions.vocabulary import END, PAD, START, trim_padding
from dgm_run.networks.rnn import OFFSET, State, TokenNetwork

MAX_LOGITS = 2**25
"""Number of logits in one pass without gradients, which bounds the memory."""


class Sentence(Distribution):
    """p(w_1, ..., w_n, end) = prod_t p(w_t | w_1, ..., w_{t-1}, c). Events are rows of tokens, padded after the end.

    Densities include the end token but no padding. Samples without an end after `length` tokens are truncated.

    Args:
        network: computes the logits of every token.
        context: c, (*batch, context_dim); with context_dim = 0 it only sets the batch shape.
        length: T.
    """

    def __init__(self, network: TokenNetwork, context: Tensor, length: int):
        super().__init__(context.shape[:-1], torch.Size([length]))
        self.network = network
        self.context = context

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError("tokens have no mean: use greedy_search()")

    def log_prob(self, value: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        tokens = value.long().expand(*batch, -1).reshape(-1, value.shape[-1])
        context = self._expand_context(batch)
        if torch.is_grad_enabled():
            return self._log_prob(tokens, context).view(batch).to(value.dtype)
        num_rows = max(1, MAX_LOGITS // (tokens.shape[1] * self.network.output.out_features))
        blocks = zip(tokens.split(num_rows), context.split(num_rows), strict=True)
        return torch.cat([self._log_prob(*block) for block in blocks]).view(batch).to(value.dtype)

    def _log_prob(self, tokens: Tensor, context: Tensor) -> Tensor:
        """Computes log p of sentences, (N, T), in their contexts, (N, context_dim): (N,)."""
        tokens = trim_padding(tokens)
        logits = self.network(tokens, context)
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
        index = (tokens - OFFSET).clamp(min=0).unsqueeze(-1)
        log_p_token = log_p.gather(-1, index).squeeze(-1)  # (N, T)
        is_padding = tokens == PAD
        return log_p_token.masked_fill(is_padding, 0.0).sum(-1)

    def _expand_context(self, batch: torch.Size) -> Tensor:
        """Returns one context for each sentence of a batch, (N, context_dim)."""
        return self.context.expand(*batch, self.context.shape[-1]).reshape(batch.numel(), self.context.shape[-1])

    @torch.no_grad()
    def sample(self, sample_shape: SampleShape = (), prefix: Tensor | None = None) -> Tensor:
        """Draws sentences, (*sample, *batch, T), which continue `prefix`, (*batch, t), if given."""

        def draw(logits: Tensor) -> Tensor:
            return torch.distributions.Categorical(logits=logits).sample()

        return self._extend(torch.Size(sample_shape), draw, prefix)

    @torch.no_grad()
    def greedy_search(self, prefix: Tensor | None = None) -> Tensor:
        """Chooses the most probable token at each position: (*batch, T)."""
        return self._extend(torch.Size(), lambda logits: logits.argmax(-1), prefix)

    def _extend(self, sample_shape: torch.Size, choose: Callable[[Tensor], Tensor], prefix: Tensor | None) -> Tensor:
        """Extends sentences token by token: `choose` maps logits, (N, V), to outputs, (N,)."""
        shape = sample_shape + self.batch_shape
        context = self._expand_context(shape)
        state, token = self._read_prefix(prefix, context)
        tokens = context.new_full((len(context), self.event_shape[0]), PAD, dtype=torch.long)
        first = 0
        if prefix is not None:
            first = prefix.shape[-1]
            tokens[:, :first] = prefix.long().reshape(-1, first)
        has_ended = torch.zeros(len(context), dtype=torch.bool, device=context.device)
        for t in range(first, tokens.shape[1]):
            logits, state = self.network.step(token, context, state)
            token = (choose(logits) + OFFSET).masked_fill(has_ended, PAD)
            tokens[:, t] = token
            has_ended |= token == END
        return tokens.view(*shape, -1).to(self.context.dtype)

    def _read_prefix(self, prefix: Tensor | None, context: Tensor) -> tuple[State, Tensor]:
        """Returns the state before the last token of the prefix, and that token, (N,)."""
        state = self.network.start(len(context), context)
        token = torch.full((len(context),), START, device=context.device)
        if prefix is None:
            return state, token
        for column in prefix.long().reshape(-1, prefix.shape[-1]).unbind(-1):
            _, state = self.network.step(token, context, state)
            token = column
        return state, token

    @torch.no_grad()
    def beam_search(self, width: int) -> Tensor:
        """Returns the most probable sentence of a beam search with `width` hypotheses: (*batch, T).

        Raises:
            ValueError: `width` is not positive.
        """
        if width < 1:
            raise ValueError(f"width = {width} must be positive")
        context = self._expand_context(self.batch_shape)
        num = len(context)
        length = self.event_shape[0]
        context = context.repeat_interleave(width, 0)  # (N width, context_dim)
        state, token = self._read_prefix(None, context)
        log_p = torch.full((num, width), -torch.inf, device=context.device)
        log_p[:, 0] = 0.0  # all hypotheses start equal, so only one counts
        tokens = torch.full((num, width, length), PAD, device=context.device)
        for t in range(length):
            logits, state = self.network.step(token, context, state)
            log_p_next = self._pad_ended(logits.float().log_softmax(-1), token).view(num, width, -1)
            extended = log_p.unsqueeze(-1) + log_p_next  # (N, width, V)
            log_p, chosen = extended.flatten(1).topk(width)  # (N, width)
            parent = chosen // extended.shape[-1]  # hypothesis that each of the best ones extends
            token = chosen % extended.shape[-1]
            tokens = tokens.gather(1, parent.unsqueeze(-1).expand(-1, -1, length))
            tokens[:, :, t] = token
            rows = (parent + width * torch.arange(num, device=parent.device).unsqueeze(1)).flatten()
            state = tuple(each[:, rows].contiguous() for each in state)
            token = token.flatten()
        return tokens[:, 0].view(*self.batch_shape, length).to(self.context.dtype)

    def _pad_ended(self, log_p: Tensor, token: Tensor) -> Tensor:
        """Extends log p of the outputs to all tokens, (N, V); only padding, with log p = 0, follows the end."""
        log_p = torch.cat([log_p.new_full((len(log_p), OFFSET), -torch.inf), log_p], 1)
        has_ended = (token == END) | (token == PAD)
        log_p[has_ended] = -torch.inf
        log_p[has_ended, PAD] = 0.0
        return log_p
