import itertools
import math
from collections import Counter

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.sources.pcfg import PAIRS, PCFG, WORDS
from tests.support.contracts import check_frequencies


def derivations(symbol, max_words):
    """(words, probability) of every tree of a symbol with so many words at most: all trees, one by one."""
    yield from (((word,), p) for word, p in WORDS.get(symbol, {}).items())
    for (b, c), p in PAIRS.get(symbol, {}).items():
        if max_words < 2:
            continue
        right = {n: list(derivations(c, n)) for n in range(1, max_words)}
        for left, p_left in derivations(b, max_words - 1):
            for words, p_right in right[max_words - len(left)]:
                yield left + words, p * p_left * p_right


TREES = list(derivations("S", 5))


@pytest.fixture(scope="module")
def draws():
    source, generator = PCFG(5, 1, 1, 1, 0), torch.Generator().manual_seed(0)
    return [source.sample(generator) for _ in range(4000)]


def test_every_symbol_becomes_something():
    for symbol in {*PAIRS, *WORDS}:
        assert sum(PAIRS.get(symbol, {}).values()) + sum(WORDS.get(symbol, {}).values()) == pytest.approx(1)


def test_probabilities_sums_over_all_trees():
    trees = Counter()
    for words, p in TREES:
        trees[words] += p
    source = PCFG(5, 1, 1, 1, 0)
    assert source.compute_short_probability() == pytest.approx(sum(trees.values()))
    for words in itertools.islice(trees, 0, None, 97):
        assert source.log_prob(words) == pytest.approx(math.log(trees[words] / sum(trees.values())))
    assert source.log_prob(("dog", "the")) == -math.inf
    assert source.log_prob(()) == -math.inf


def test_a_sentence_with_two_trees_has_both():
    # with the telescope: the man's, or what he sees with
    words = ["the", "man", "sees", "the", "dog", "with", "a", "telescope"]
    shared = 0.8**3 * 0.6 * 0.1 * 0.4 * 0.6 * 0.2 * 0.5 * 0.3 * 0.08
    trees = shared * 0.5 * (0.2 + 0.15)
    source = PCFG(19, 1, 1, 1, 0)
    assert source.log_prob(words) == pytest.approx(math.log(trees / source.compute_short_probability()))


@pytest.mark.parametrize(
    "summarize",
    [lambda words: words, lambda words: (len(words), words[0]), lambda words: (len(words), words[-1])],
    ids=["sentences", "first words", "last words"],
)
def test_draws_follow_the_probabilities(summarize, draws):
    counts, probabilities = Counter(map(summarize, draws)), Counter()
    total = sum(p for _, p in TREES)
    for words, p in TREES:
        probabilities[summarize(words)] += p / total
    assert set(counts) <= set(probabilities)
    rows = [(counts[key], p) for key, p in probabilities.items()]
    check_frequencies(*torch.tensor(rows, dtype=torch.float64).T)


def test_the_test_sentences_come_with_their_likelihoods():
    data = instantiate(
        compose("dataset=pcfg", "dataset.source.num_train=50", "dataset.source.num_test=20").dataset
    ).load()
    words = data.test.vocabulary.decode(data.test.x[3:4])[0].split()
    if "<unk>" not in words:
        assert data.test.log_p[3].item() == pytest.approx(PCFG(19, 1, 1, 1, 0).log_prob(words))
    assert len(data.test.log_p) == 20


def test_length_that_no_sentence_has_refused():
    with pytest.raises(ValueError, match="must be at least 3"):
        PCFG(2, 1, 1, 1, 0)
    assert len(PCFG(3, 5, 1, 1, 0)().train[0]) == 3


def test_num_valid_that_matters_is_named():
    both = [PCFG(10, 30, num_valid, 20, seed=2)() for num_valid in (10, 11)]
    assert both[0].test != both[1].test
    assert [splits.about.partition("num_valid=")[2][:2] for splits in both] == ["10", "11"]
