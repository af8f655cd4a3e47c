import math
from collections import Counter

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.text import Sentences
from dgm_run.distributions.vocabulary import END, START, Vocabulary
from dgm_run.errors import ConfigError
from dgm_run.estimators.baselines.ngram import KneserNey, NgramBaseline

ROWS = [[4, 5, 4, END], [5, 5, END], [4, END]]
TOKENS = (END, 3, 4, 5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_one(order):
    model = KneserNey(ROWS, order, len(TOKENS), 0.75)
    for context in ((START, START), (START, 4), (4, 5), (3, 3), (5, 5)):
        mass = sum(model.prob(context[3 - order :], token) for token in TOKENS)
        assert mass == pytest.approx(1)


def test_unigrams_are_smoothed_shares():
    model, counts = KneserNey(ROWS, 1, len(TOKENS), 0.75), Counter(token for row in ROWS for token in row)
    for token in TOKENS:
        expected = max(counts[token] - 0.75, 0) / 9 + 0.75 * 3 / 9 / 4
        assert model.prob((), token) == pytest.approx(expected)


def test_pairs_by_hand():
    # after 5: 4, 5 and END once each; 4 is seen after START and 5, 5 after 4, START and 5, END after 4 and 5
    model = KneserNey(ROWS, 2, len(TOKENS), 0.75)
    lower = (2 - 0.75) / 7 + 0.75 * 3 / 7 / 4  # of 4: in two of seven pairs
    assert model.prob((5,), 4) == pytest.approx((1 - 0.75) / 3 + 0.75 * 3 / 3 * lower)
    assert model.prob((3,), 4) == pytest.approx(lower)  # nothing is known of what follows <unk>
    by_hand = math.log(model.prob((START,), 5)) + math.log(model.prob((5,), END))
    assert model.log_prob([5, END]) == pytest.approx(by_hand)


def test_rows_of_the_table_are_perplexities():
    words = Vocabulary(["a", "b"])
    train = Sentences(words.encode([["a", "b", "a"], ["b", "b"], ["a"]], 5), words)
    test = Sentences(words.encode([["b", "a"], ["a", "a"]], 5), words)
    fitted = NgramBaseline(2, 0.75).fit(torch.nn.Identity(), train, train)
    one, two = fitted(torch.nn.Identity(), test)
    assert (one.estimator, two.estimator, one.quantity) == ("1-gram", "2-gram", "perplexity")
    model = KneserNey(ROWS, 2, 4, 0.75)
    expected = math.exp(-(model.log_prob([5, 4, END]) + model.log_prob([4, 4, END])) / 6)
    assert two.value == pytest.approx(expected)
    assert two.baseline.name == "2-gram"
    assert two.baseline.log_p.tolist() == pytest.approx([model.log_prob([5, 4, END]), model.log_prob([4, 4, END])])


def test_images_and_bad_settings_are_refused():
    data = instantiate(compose().dataset).load()
    with pytest.raises(ConfigError, match="the data are no sentences"):
        NgramBaseline(2, 0.75).check(torch.nn.Identity(), data)
    for wrong in ((0, 0.5), (2, 1.0)):
        with pytest.raises(ValueError, match="must (be positive|lie between 0 and 1)"):
            NgramBaseline(*wrong)
