import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.errors import ConfigError
from dgm_run.objectives.bag_of_words import BagOfWords
from dgm_run.objectives.base import Progress
from dgm_run.objectives.elbo import ELBO

TINY = (
    "model=sentence_vae",
    "model.latent_dim=2",
    "encoder.hidden_dim=6",
    "decoder.hidden_dim=6",
    "dataset.vocab_size=9",
)


def model(bag=True):
    torch.manual_seed(0)
    return instantiate(compose(*TINY, f"decoder.bag_of_words={str(bag).lower()}").model).eval()


def test_loss_subtracts_word_term():
    made, bound = model(), ELBO(1, 1.0, 10, "logistic", 0.0)
    x, progress = made.sample(5), Progress(torch.tensor(3.0), {})
    torch.manual_seed(1)
    of_bound, named = bound(made, x, progress)
    torch.manual_seed(1)
    loss, seen = BagOfWords(0.7, bound)(made, x, progress)
    torch.manual_seed(1)
    log_bag = made.decoder.log_bag(made.sample_terms(x, 1).z, x).mean()
    torch.testing.assert_close(loss, of_bound - 0.7 * log_bag)
    assert seen["elbo"] == named["elbo"]  # of the model, whatever the loss has beside it
    assert seen["bag_of_words"] == log_bag


def test_a_decoder_without_a_bag_is_refused():
    with pytest.raises(ConfigError, match="set decoder.bag_of_words=true"):
        BagOfWords(1.0, ELBO(1, 1.0, 0, "linear", 0.0)).init_state(model(False), torch.zeros(1, 41))
    with pytest.raises(ValueError, match="weight = -1.0"):
        BagOfWords(-1.0, ELBO(1, 1.0, 0, "linear", 0.0))
    assert BagOfWords(1.0, ELBO(1, 1.0, 7, "linear", 0.0)).num_warmup_epochs == 7
