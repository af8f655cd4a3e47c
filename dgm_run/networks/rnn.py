"""Recurrent networks over rows of tokens."""

from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.distributions.vocabulary import PAD, SPECIAL, START, UNKNOWN

Cell = Literal["lstm", "gru"]
State = tuple[Tensor, ...]

OFFSET = len((PAD, START))
"""No output is for these two, which are never predicted: the first output is for token `OFFSET`."""


def recurrent(cell: Cell, in_dim: int, hidden_dim: int) -> nn.Module:
    """One layer, (N, T, in) -> (N, T, hidden)."""
    return {"lstm": nn.LSTM, "gru": nn.GRU}[cell](in_dim, hidden_dim, batch_first=True)


class TokenNetwork(nn.Module):
    """p(w_t | w_1, ..., w_{t-1}, c): of tokens, and of a context c that is the same for all of a sentence.

    Args:
        vocab_size: tokens, the special ones among them.
        context_dim: of c; 0 for none.
        context_at: where c comes in: the first state, every input, or both.
        embed_dim: of a token.
        hidden_dim: of the state.
        cell: lstm | gru.
        sees_words: whether it is shown the words before; else all of them as unknown, and c alone tells it something.
        word_dropout: share of the tokens that the network is shown as unknown, in training alone.
        dropout: of the embeddings and of the states, in training alone.

    Raises:
        ValueError: a share is not one.
    """

    def __init__(
        self,
        vocab_size: int,
        context_dim: int,
        context_at: Literal["state", "input", "both"],
        embed_dim: int,
        hidden_dim: int,
        cell: Cell,
        sees_words: bool,
        word_dropout: float,
        dropout: float,
    ):
        super().__init__()
        self.sees_words = sees_words
        for name, share in (("word_dropout", word_dropout), ("dropout", dropout)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} = {share} must lie between 0 and 1")
        self.word_dropout, self.num_states, self.hidden_dim = word_dropout, 2 if cell == "lstm" else 1, hidden_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        at_input = context_dim if context_at != "state" else 0
        at_state = context_dim if context_at != "input" else 0
        self.at_input = at_input > 0
        self.first_state = nn.Linear(at_state, self.num_states * hidden_dim) if at_state else None
        self.layer = recurrent(cell, embed_dim + at_input, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, vocab_size - OFFSET)

    def forward(self, tokens: Tensor, context: Tensor | None) -> Tensor:
        """Logits of each token given those before it: (N, T), (N, C) -> (N, T, vocab_size - OFFSET)."""
        before = torch.cat([torch.full_like(tokens[:, :1], START), tokens[:, :-1]], 1)
        if self.training and self.word_dropout > 0:
            hidden = (torch.rand_like(before, dtype=torch.float32) < self.word_dropout) & (before >= len(SPECIAL))
            before = before.masked_fill(hidden, UNKNOWN)
        return self._logits(before, context, self.start(len(tokens), context))[0]

    def step(self, token: Tensor, context: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Logits of the next token after this one, (N,), and the state after it."""
        logits, state = self._logits(token.unsqueeze(1), context, state)
        return logits[:, 0], state

    def start(self, num: int, context: Tensor | None) -> State:
        """The state before the first token, of `num` sentences: tensors (1, num, hidden)."""
        if self.first_state is None:
            return (self.output.weight.new_zeros(1, num, self.hidden_dim),) * self.num_states
        return tuple(
            each.tanh().unsqueeze(0).contiguous() for each in self.first_state(context).chunk(self.num_states, -1)
        )

    def _logits(self, tokens: Tensor, context: Tensor | None, state: State) -> tuple[Tensor, State]:
        if not self.sees_words:
            tokens = tokens.masked_fill(tokens != START, UNKNOWN)
        seen = self.dropout(self.embedding(tokens))
        if self.at_input:
            assert context is not None
            seen = torch.cat([seen, context.unsqueeze(1).expand(-1, tokens.shape[1], -1)], -1)
        hidden, after = self.layer(seen, state if self.num_states == 2 else state[0])
        return self.output(self.dropout(hidden)), after if self.num_states == 2 else (after,)
