"""The bound of sentences whose latent variables have to tell their words.

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
    """-bound - weight E_q sum_t log p(w_t | z): z cannot idle where the decoder does well by the words before.

    The second term belongs to the training alone; `bag_of_words` reports it, and the bound is that of the model.

    Args:
        weight: of the words.
        bound: of log p(x).

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
        if _decoder_of(model).bag is None:
            raise ConfigError("objective: BagOfWords needs decoder.bag_of_words=true")
        return {}

    def __call__(self, model: VAE, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        terms = model.sample_terms(x, self.bound.num_samples)
        loss, named = self.bound.of_terms(terms, progress)
        log_bag = _decoder_of(model).log_bag(terms.z, x).mean()
        return loss - self.weight * log_bag + model.auxiliary_loss(), named | {"bag_of_words": log_bag.detach()}


def _decoder_of(model: VAE) -> RNNDecoder:
    assert isinstance(model.decoder, RNNDecoder)
    return model.decoder
