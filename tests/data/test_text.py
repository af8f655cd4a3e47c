import pytest
import torch

from dgm_run.data.text import Sentences, TextDataset, TextSplits, sentences_of, split_sentences, words_of
from dgm_run.errors import DataError
from dgm_run.vocabulary import UNKNOWN


def dataset(train, valid=(("a", "b"),), test=(("a",),), shape=(4,), vocab_size=8, log_p=None):
    splits = TextSplits(list(train), list(valid), list(test), log_p)
    return TextDataset(lambda: splits, "mine", shape, vocab_size)


def test_sentences_become_tokens_by_the_words_of_training():
    data = dataset([["a", "b", "a"], ["c"]], test=[["z", "c"]]).load()
    assert isinstance(data.test, Sentences)
    assert data.train.vocabulary.words[4:] == ["a", "b", "c"]
    assert data.test.batch(slice(None)).tolist() == [[UNKNOWN, 6.0, 2.0, 0.0]]
    assert data.train.batch(torch.tensor([1])).dtype == torch.get_default_dtype()
    assert data.train.num_seen.tolist() == [4, 2]


def test_sentences_that_are_too_long_are_left_out_and_with_them_what_was_known_of_all():
    log_p = torch.tensor([-1.0, -2.0])
    data = dataset([["a"], ["a"] * 4, ["a"] * 3, []], test=[["a"], ["a", "a"]], log_p=log_p).load()
    assert len(data.train) == 2
    assert data.test.log_p is log_p
    assert data.train.log_p is None
    assert dataset([["a"]], test=[["a"], ["a"] * 4], log_p=log_p).load().test.log_p is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": []}, "there are no train sentences in mine: it is empty"),
        ({"valid": [["a"] * 9]}, "there are no valid sentences in mine: none of 1 has fewer than 4 tokens"),
        ({"test": [["x", "y"]]}, "no word of the test sentences of mine is among the 8 that are told apart"),
    ],
)
def test_a_corpus_that_gives_nothing_is_told_in_a_line(change, message):
    with pytest.raises(DataError, match=message):
        dataset(**({"train": [["a"]]} | change)).load()


def test_sizes_that_leave_no_place_for_a_word_are_refused():
    with pytest.raises(ValueError, match="vocab_size = 4 must exceed 4"):
        dataset([["a"]], vocab_size=4)
    with pytest.raises(ValueError, match=r"shape = \[1\]"):
        dataset([["a"]], shape=(1,))


def test_text_is_cut_into_sentences_and_words():
    paragraph = 'He came. "Why?" she said, in\nf_1 style. It is 3.5 m. (That is all.) 2. end'
    assert sentences_of(paragraph) == [
        "He came.",
        '"Why?" she said, in f_1 style.',
        "It is 3.5 m.",
        "(That is all.) 2. end",
    ]
    assert words_of("Don't stop-gap it, __init__ x1 3.5 (ÄÖ)!") == [
        *("don't", "stop-gap", "it", ",", "__init__", "x1", "3.5", "(", "äö", ")", "!")
    ]


def test_splits_have_the_sizes_asked_for_and_share_nothing():
    sentences = [[str(i)] for i in range(10)]
    found = split_sentences(sentences, 2, 3, 0)
    assert [len(part) for part in found[:3]] == [5, 2, 3]
    assert sorted(word for part in found[:3] for (word,) in part) == sorted(str(i) for i in range(10))
    assert split_sentences(sentences, 2, 3, None).test == sentences[7:]
    assert split_sentences(sentences, 2, 3, 1).test != found.test
    with pytest.raises(DataError, match="10 sentences cannot give 5 for validation and 5 for test"):
        split_sentences(sentences, 5, 5, 0)


def test_what_is_known_of_words_is_not_taken_for_what_is_told_apart_of_them():
    log_p = torch.tensor([-1.0, -2.0])
    known, unknown = [["a"], ["b"]], [["a"], ["z"]]
    assert dataset([["a", "b"]], test=known, log_p=log_p).load().test.log_p is log_p
    assert dataset([["a", "b"]], test=unknown, log_p=log_p).load().test.log_p is None
