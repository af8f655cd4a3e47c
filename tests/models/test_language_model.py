import pytest
import torch

import dgm_run
from dgm_run.distributions.vocabulary import END, PAD
from dgm_run.models.language_model import LanguageModel
from tests.distributions.test_sentence import finished_sentences, unfinished_sentences
from tests.support.tiny import SHORT


@torch.no_grad()
def test_all_sentences_have_the_mass_one():
    torch.manual_seed(0)
    model = LanguageModel((4,), 6, 4, 5, "lstm", "words", 0.3).eval()
    rows = torch.tensor([*finished_sentences(4), *unfinished_sentences(4)]).float()
    torch.testing.assert_close(model.log_prob(rows).exp().sum(), torch.tensor(1.0))
    draws = model.sample(500)
    assert draws.shape == (500, 4)
    ended = (draws == END).any(1)
    assert (draws[ended].eq(END).sum(1) == 1).all()
    assert not (draws[~ended] == PAD).any()


@pytest.mark.slow
def test_it_comes_near_to_the_grammar(tmp_path):
    # the entropy is known: what is lost against it can be read off, and no model can gain
    overrides = ("model=language_model", "dataset=pcfg", *SHORT[1:], "trainer.batch_size=32", "trainer.max_epochs=6")
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    rows = {(row["quantity"], row["estimator"]): row for row in found["estimates"]}
    lost = rows["kl_from_truth", "exact"]
    assert -2 * lost["stderr"] < lost["value"] < 0.3
    truth = rows["true_log_likelihood", "data"]["value"]
    assert rows["log_likelihood", "exact"]["value"] + lost["value"] == pytest.approx(truth)
    assert rows["perplexity", "exact"]["value"] < rows["perplexity", "2-gram"]["value"]
