"""A recurrent network over a sentence.

Source: S. Bowman et al., Generating sentences from a continuous space, 2016, https://arxiv.org/abs/1511.06349.
"""

from torch import Tensor, nn

from dgm_run.distributions.vocabulary import lengths, without_padding
from dgm_run.encoders.base import Encoder
from dgm_run.networks.rnn import Cell, recurrent


class RNNEncoder(Encoder):
    """The features are the state at the end of the sentence: no padding is read before.

    Args:
        vocab_size: tokens, the special ones among them.
        embed_dim: of a token.
        hidden_dim: of the state.
        cell: lstm | gru.
        dropout: of the embeddings, in training alone.
    """

    takes = ("tokens",)

    def __init__(self, vocab_size: int, embed_dim: int, hidden_dim: int, cell: Cell, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.layer = recurrent(cell, embed_dim, hidden_dim)
        self.feature_dim = hidden_dim

    def forward(self, x: Tensor) -> Tensor:
        tokens = without_padding(x.long().reshape(-1, x.shape[-1]))
        states, _ = self.layer(self.dropout(self.embedding(tokens)))  # (N, T, hidden)
        last = (lengths(tokens) - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[-1])
        return states.gather(1, last).view(*x.shape[:-1], -1)
