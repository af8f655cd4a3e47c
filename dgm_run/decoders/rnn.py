"""Decoder that draws a sentence word by word.

Sources: S. Bowman et al., Generating sentences from a continuous space, 2016, https://arxiv.org/abs/1511.06349 (the
model, word dropout); T. Zhao, R. Zhao, M. Eskenazi, Learning discourse-level diversity for neural dialog models using
conditional variational autoencoders, 2017, https://arxiv.org/abs/1703.10960 (the bag of words).
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from dgm_run.decoders.base import Decoder
from dgm_run.distributions.sentence import Sentence
from dgm_run.distributions.vocabulary import PAD
from dgm_run.networks.linear import Linear
from dgm_run.networks.rnn import OFFSET, Cell, TokenNetwork


class RNNDecoder(Decoder):
    """p(x | z) = prod_t p(w_t | w_1, ..., w_{t-1}, z).

    Args:
        latent_dim: L.
        shape: (T,), tokens of the longest sentence.
        vocab_size: number of tokens, special ones included.
        embed_dim: dimensions of a token's embedding.
        hidden_dim: dimensions of the state.
        cell: lstm | gru.
        z_at: inputs that receive z: state (the first one) | input (every one) | both.
        inputs: words (the preceding ones) | none: the inputless decoder of the paper, which receives only z.
        word_dropout: fraction of the words that are replaced by the unknown token while training.
        dropout: dropout rate of embeddings and states while training.
        bag_of_words: whether z also predicts the words without their order, for objective=bag_of_words.
    """

    takes = ("tokens",)

    def __init__(
        self,
        latent_dim: int,
        shape: Sequence[int],
        vocab_size: int,
        embed_dim: int,
        hidden_dim: int,
        cell: Cell,
        z_at: Literal["state", "input", "both"],
        inputs: Literal["words", "none"],
        word_dropout: float,
        dropout: float,
        bag_of_words: bool,
    ):
        super().__init__()
        self.length = shape[0]
        self.network = TokenNetwork(
            vocab_size=vocab_size,
            context_dim=latent_dim,
            context_at=z_at,
            embed_dim=embed_dim,
            hidden_dim=hidden_dim,
            cell=cell,
            has_word_inputs=inputs == "words",
            word_dropout=word_dropout,
            dropout=dropout,
        )
        self.bag: nn.Sequential | None = None
        if bag_of_words:
            hidden = Linear(latent_dim, hidden_dim)
            words = Linear(hidden_dim, vocab_size - OFFSET)
            self.bag = nn.Sequential(hidden, nn.Tanh(), words)

    def forward(self, z: Tensor) -> Sentence:
        return Sentence(self.network, z, self.length)

    def log_bag(self, z: Tensor, x: Tensor) -> Tensor:
        """Computes sum_t log p(w_t | z), blind to the order of the words: (S, B, L), (B, T) -> (S, B), nats."""
        assert self.bag is not None
        log_p = self.bag(z).log_softmax(-1)  # (S, B, V)
        tokens = x.long()
        index = (tokens - OFFSET).clamp(min=0).expand(*z.shape[:-1], -1)
        return log_p.gather(-1, index).masked_fill(tokens == PAD, 0.0).sum(-1)
