"""Recurrent encoder of sentences.

Source: S. Bowman et al., Generating sentences from a continuous space, 2016, https://arxiv.org/abs/1511.06349.
"""

from torch import Tensor, nn

from dgm_run.distributions.vocabulary import count_tokens, trim_padding
from dgm_run.encoders.base import Encoder
from dgm_run.networks.rnn import Cell, recurrent_layer


class RNNEncoder(Encoder):
    """Recurrent network whose features are its state at the end of the sentence, before any padding.

    Args:
        vocab_size: number of tokens, special ones included.
        embed_dim: dimensions of a token's embedding.
        hidden_dim: dimensions of the state.
        cell: lstm | gru.
        dropout: dropout rate of the embeddings while training.
    """

    takes = ("tokens",)

    def __init__(self, vocab_size: int, embed_dim: int, hidden_dim: int, cell: Cell, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.layer = recurrent_layer(cell, embed_dim, hidden_dim)
        self.feature_dim = hidden_dim

    def forward(self, x: Tensor) -> Tensor:
        tokens = trim_padding(x.long().reshape(-1, x.shape[-1]))
        states, _ = self.layer(self.dropout(self.embedding(tokens)))  # (N, T, hidden)
        last_token = (count_tokens(tokens) - 1).clamp(min=0)  # (N,)
        index = last_token.view(-1, 1, 1).expand(-1, 1, states.shape[-1])
        return states.gather(1, index).view(*x.shape[:-1], -1)
