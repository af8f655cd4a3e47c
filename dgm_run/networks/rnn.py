"""Recurrent networks over rows of tokens."""

from typing import Literal

import torch
from torch import Tensor, nn

from dgm_run.distributions.vocabulary import PAD, SPECIAL, START, UNKNOWN
from dgm_run.networks.linear import Linear

Cell = Literal["lstm", "gru"]
State = tuple[Tensor, ...]

OFFSET = len((PAD, START))
"""Number of tokens that are never predicted: output i is for token i + `OFFSET`."""


def recurrent_layer(cell: Cell, in_dim: int, hidden_dim: int) -> nn.Module:
    """Builds one recurrent layer, (N, T, in) -> (N, T, hidden)."""
    return {"lstm": nn.LSTM, "gru": nn.GRU}[cell](in_dim, hidden_dim, batch_first=True)


class TokenNetwork(nn.Module):
    """Network of p(w_t | w_1, ..., w_{t-1}, c), with a context c that all tokens of a sentence share.

    Args:
        vocab_size: number of tokens, special ones included.
        context_dim: dimensions of c; 0 for no context.
        context_at: inputs that receive c: state (the first one) | input (every one) | both.
        embed_dim: dimensions of a token's embedding.
        hidden_dim: dimensions of the state.
        cell: lstm | gru.
        has_word_inputs: whether it reads the preceding words; otherwise all its inputs are the unknown token.
        word_dropout: fraction of the tokens that are replaced by the unknown token while training.
        dropout: dropout rate of embeddings and states while training.

    Raises:
        ValueError: a rate lies outside [0, 1].
    """

    def __init__(
        self,
        vocab_size: int,
        context_dim: int,
        context_at: Literal["state", "input", "both"],
        embed_dim: int,
        hidden_dim: int,
        cell: Cell,
        has_word_inputs: bool,
        word_dropout: float,
        dropout: float,
    ):
        super().__init__()
        self.has_word_inputs = has_word_inputs
        for name, rate in (("word_dropout", word_dropout), ("dropout", dropout)):
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} = {rate} must lie between 0 and 1")
        self.word_dropout = word_dropout
        self.num_states = 2 if cell == "lstm" else 1
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        input_context_dim = context_dim if context_at != "state" else 0
        state_context_dim = context_dim if context_at != "input" else 0
        self.has_context_inputs = input_context_dim > 0
        self.first_state = Linear(state_context_dim, self.num_states * hidden_dim) if state_context_dim else None
        self.layer = recurrent_layer(cell, embed_dim + input_context_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.output = Linear(hidden_dim, vocab_size - OFFSET)

    def forward(self, tokens: Tensor, context: Tensor | None) -> Tensor:
        """Computes the logits of each token given its predecessors.

        Args:
            tokens: (N, T).
            context: (N, context_dim).

        Returns:
            (N, T, vocab_size - OFFSET).
        """
        inputs = torch.cat([torch.full_like(tokens[:, :1], START), tokens[:, :-1]], 1)
        if self.training and self.word_dropout > 0:
            is_chosen = torch.rand_like(inputs, dtype=torch.float32) < self.word_dropout
            is_word = inputs >= len(SPECIAL)
            inputs = inputs.masked_fill(is_chosen & is_word, UNKNOWN)
        return self._logits(inputs, context, self.start(len(tokens), context))[0]

    def step(self, token: Tensor, context: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Computes the logits of the next token after this one, (N,), and the state after it."""
        logits, state = self._logits(token.unsqueeze(1), context, state)
        return logits[:, 0], state

    def start(self, num: int, context: Tensor | None) -> State:
        """Returns the state before the first token, of `num` sentences: tensors (1, num, hidden)."""
        if self.first_state is None:
            return (self.output.weight.new_zeros(1, num, self.hidden_dim),) * self.num_states
        states = self.first_state(context).chunk(self.num_states, -1)
        return tuple(state.tanh().unsqueeze(0).contiguous() for state in states)

    def _logits(self, tokens: Tensor, context: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Computes the logits after each of these tokens, (N, T, V), and the state after the last of them."""
        if not self.has_word_inputs:
            tokens = tokens.masked_fill(tokens != START, UNKNOWN)
        inputs = self.dropout(self.embedding(tokens))
        if self.has_context_inputs:
            assert context is not None
            inputs = torch.cat([inputs, context.unsqueeze(1).expand(-1, tokens.shape[1], -1)], -1)
        is_lstm = self.num_states == 2
        hidden, next_state = self.layer(inputs, state if is_lstm else state[0])
        return self.output(self.dropout(hidden)), next_state if is_lstm else (next_state,)
