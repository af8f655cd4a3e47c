"""Recurrent language model: sentences word by word, without latent variables.

Source: T. Mikolov et al., Recurrent neural network based language model, 2010.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dgm_run.distributions.sentence import Sentence
from dgm_run.models.base import ExactModel
from dgm_run.networks.rnn import Cell, TokenNetwork


class LanguageModel(ExactModel):
    """p(x) = prod_t p(w_t | w_1, ..., w_{t-1}): the baseline of sentence VAEs.

    Args:
        shape: tokens of the longest sentence, (T,).
        vocab_size: number of tokens, special ones included.
        embed_dim: dimensions of a token's embedding.
        hidden_dim: dimensions of the state.
        cell: lstm | gru.
        inputs: words (the preceding ones) | none: all inputs are the unknown token, so that only the position counts.
        dropout: dropout rate of embeddings and states while training.
    """

    takes = ("tokens",)

    def __init__(
        self,
        shape: Sequence[int],
        vocab_size: int,
        embed_dim: int,
        hidden_dim: int,
        cell: Cell,
        inputs: Literal["words", "none"],
        dropout: float,
    ):
        super().__init__()
        self.length = shape[0]
        self.network = TokenNetwork(
            vocab_size=vocab_size,
            context_dim=0,
            context_at="state",
            embed_dim=embed_dim,
            hidden_dim=hidden_dim,
            cell=cell,
            has_word_inputs=inputs == "words",
            word_dropout=0.0,
            dropout=dropout,
        )

    def sentences(self, n: int) -> Sentence:
        """Returns p(x), n times: batch shape (n,)."""
        return Sentence(self.network, self.network.output.weight.new_zeros(n, 0), self.length)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.sentences(len(x)).log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws n sentences, (n, T)."""
        return self.sentences(n).sample()
