"""A decoder that draws a sentence word by word.

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
from dgm_run.networks.rnn import OFFSET, Cell, TokenNetwork


class RNNDecoder(Decoder):
    """p(x | z) = prod_t p(w_t | w_1, ..., w_{t-1}, z).

    Args:
        latent_dim: L.
        shape: tokens of the longest sentence, (T,).
        vocab_size: tokens, the special ones among them.
        embed_dim: of a token.
        hidden_dim: of the state.
        cell: lstm | gru.
        z_at: where z comes in: the first state, every input, or both.
        inputs: words (those before) | none: the inputless decoder of the paper, which has z alone.
        word_dropout: share of the words that it is shown as unknown, in training alone.
        dropout: of the embeddings and of the states, in training alone.
        bag_of_words: whether z is to tell the words of a sentence without their order as well: objective=bag_of_words.
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
        sizes, sees_words = (embed_dim, hidden_dim), inputs == "words"
        self.network = TokenNetwork(vocab_size, latent_dim, z_at, *sizes, cell, sees_words, word_dropout, dropout)
        self.bag: nn.Sequential | None = None
        if bag_of_words:
            hidden, words = nn.Linear(latent_dim, hidden_dim), nn.Linear(hidden_dim, vocab_size - OFFSET)
            self.bag = nn.Sequential(hidden, nn.Tanh(), words)

    def forward(self, z: Tensor) -> Sentence:
        return Sentence(self.network, z, self.length)

    def log_bag(self, z: Tensor, x: Tensor) -> Tensor:
        """sum_t log p(w_t | z), whatever the order of the words: (S, B, L), (B, T) -> (S, B), nats."""
        assert self.bag is not None
        log_p = self.bag(z).log_softmax(-1)  # (S, B, V)
        tokens = x.long()
        index = (tokens - OFFSET).clamp(min=0).expand(*z.shape[:-1], -1)
        return log_p.gather(-1, index).masked_fill(tokens == PAD, 0.0).sum(-1)
