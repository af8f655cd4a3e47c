"""Bound of sentences whose latent variables also predict the bag of words.

Source: T. Zhao, R. Zhao, M. Eskenazi, Learning discourse-level diversity for neural dialog models using conditional
variational autoencoders, 2017, https://arxiv.org/abs/1703.10960.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from dgm_run.decoders.rnn import RNNDecoder
from dgm_run.errors import ConfigError
from dgm_run.models.latent.vae import VAE
from dgm_run.objectives.base import Objective, Progress
from dgm_run.objectives.elbo import ELBO
from dgm_run.posteriors.base import ExplicitPosterior


@dataclass(frozen=True)
class BagOfWords(Objective[VAE]):
    """-bound - weight E_q sum_t log p(w_t | z): z stays in use where the preceding words suffice for the decoder.

    The second term only helps training. The run reports it as `bag_of_words`, beside the bound without it.

    Args:
        weight: weight of the bag of words.
        bound: bound of log p(x).

    Raises:
        ValueError: the weight is negative.
    """

    weight: float
    bound: ELBO

    requires = {"model": VAE, "decoder": RNNDecoder, "posterior": ExplicitPosterior}
    monitor = "elbo"

    def __post_init__(self):
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight = {self.weight} must be a finite number, and not negative")

    @property
    def num_warmup_epochs(self) -> int:
        return self.bound.num_warmup_epochs

    def init_state(self, model: VAE, x: Tensor) -> dict[str, Tensor]:
        if _get_decoder(model).bag is None:
            raise ConfigError(
                "objective: BagOfWords needs a decoder that predicts words: set decoder.bag_of_words=true"
            )
        return {}

    def __call__(self, model: VAE, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        terms = model.sample_terms(x, self.bound.num_samples)
        loss, named = self.bound.loss_from_terms(terms, progress)
        log_bag = _get_decoder(model).log_bag(terms.z, x).mean()
        return loss - self.weight * log_bag + model.auxiliary_loss(), named | {"bag_of_words": log_bag.detach()}


def _get_decoder(model: VAE) -> RNNDecoder:
    assert isinstance(model.decoder, RNNDecoder)
    return model.decoder
