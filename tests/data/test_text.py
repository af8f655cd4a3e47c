import unicodedata

import pytest
import torch

from dgm_run.data.text import Sentences, TextDataset, TextSplits, split_paragraph, split_sentences, split_words
from dgm_run.distributions.vocabulary import UNKNOWN
from dgm_run.errors import DataError


def dataset(train, valid=(("a", "b"),), test=(("a",),), shape=(4,), vocab_size=8, log_p=None):
    splits = TextSplits(list(train), list(valid), list(test), log_p)
    return TextDataset(lambda: splits, "mine", shape, vocab_size)


def test_sentences_become_tokens_by_the_words_of_training():
    data = dataset([["a", "b", "a"], ["c"]], test=[["z", "c"]]).load()
    assert isinstance(data.test, Sentences)
    assert data.train.vocabulary.words[4:] == ["a", "b", "c"]
    assert data.test.batch(slice(None)).tolist() == [[UNKNOWN, 6.0, 2.0, 0.0]]
    assert data.train.batch(torch.tensor([1])).dtype == torch.get_default_dtype()
    assert data.train.num_observed.tolist() == [4, 2]


def test_long_sentences_are_left_out():
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
        ({"test": [["x", "y"]]}, "no word of the test sentences of mine is in the vocabulary of 8 words"),
    ],
)
def test_corpus_that_gives_nothing_reported(change, message):
    with pytest.raises(DataError, match=message):
        dataset(**({"train": [["a"]]} | change)).load()


def test_sizes_that_leave_no_place_for_a_word_are_refused():
    with pytest.raises(ValueError, match="vocab_size = 4 must exceed 4"):
        dataset([["a"]], vocab_size=4)
    with pytest.raises(ValueError, match=r"shape = \[1\]"):
        dataset([["a"]], shape=(1,))


@pytest.mark.parametrize(
    "sentences",
    [
        ["He came.", "(That is all.)", "It is 3.5 m, e.g. the U.S. navy's.", "“Why?”", "Who knows…?!", "Fine"],
        ["Älteste Bären hören.", "Über Nacht schlafen sie.", "Öfter z.", "B.", "Honig!"],  # no list of abbreviations
        ["Кот видит дом.", "Ёж спит?", "Да!"],
        ["¿Dónde está?", "¡Aquí!", "Él vino... y se fue.", "Ándale."],
        ["बिल्ली देखती है।", "कुत्ता सोता है॥", "हाँ?"],
        ["هل رأيت القط؟", "نعم.", "القط هنا!"],
        ["Look (etc.)’ ‘(the end.", "See 3.4, c.d, Mr.\u0301Brown.", "“A.”", "B"],
    ],
)
def test_sentences_of_any_script(sentences):
    assert split_paragraph("  ".join(sentences)) == sentences
    assert split_paragraph("\n".join(sentences).replace(" ", "\n")) == sentences


def test_chinese_sentences_need_no_space():
    assert split_paragraph("猫看树。狗睡觉！真的？") == ["猫看树。", "狗睡觉！", "真的？"]


def test_paragraph_of_spaces_has_no_sentence():
    assert split_paragraph(" \n\t\u2028 ") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP-gap it, l’homme!", ["don't", "stop", "-", "gap", "it", ",", "l’homme", "!"]),
        ("__init__ x1 3.14 1,000 (ÄÖ)", ["__init__", "x1", "3.14", "1,000", "(", "äö", ")"]),
        ("z. B. e.g. ... …", ["z", ".", "b", ".", "e.g", ".", ".", ".", ".", "…"]),
        ("¿Qué? Ёжик", ["¿", "qué", "?", "ёжик"]),
        ("बिल्ली पेड़ को देखती है।", ["बिल्ली", "पेड़", "को", "देखती", "है", "।"]),
        ("السَّلامُ عليكم؟", ["السَّلامُ", "عليكم", "؟"]),
        ("猫看树。カタカナ", ["猫", "看", "树", "。", "カタカナ"]),
        ("a\u200bb \u00a0\u2028\t c\x00", ["a", "b", "c"]),
        ("👨\u200d👩\u200d👧 🇩🇪", ["👨\u200d👩\u200d👧", "🇩🇪"]),
    ],
)
def test_words_of_any_script(text, words):
    assert split_words(text) == [unicodedata.normalize("NFC", word) for word in words]


@pytest.mark.parametrize("text", ["Caf\u00e9", "Cafe\u0301", "J\u030c", "\u01f0"])
def test_a_word_has_one_spelling(text):
    (word,) = split_words(text)
    assert word in ("caf\u00e9", "\u01f0")


def test_splits_have_the_sizes_asked_for_and_share_nothing():
    sentences = [[str(i)] for i in range(10)]
    found = split_sentences(sentences, (3,), False, 2, 3, 0)
    assert [len(part) for part in found[:3]] == [5, 2, 3]
    assert sorted(word for part in found[:3] for (word,) in part) == sorted(str(i) for i in range(10))
    assert found.notes == ()
    assert split_sentences(sentences, (3,), False, 2, 3, None).test == sentences[7:]
    other = split_sentences(sentences, (3,), False, 2, 3, 1)
    assert other.test != found.test
    assert other.about != found.about
    with pytest.raises(DataError, match="10 sentences cannot give 5 for validation and 5 for test: .* num_test$"):
        split_sentences(sentences, (3,), False, 5, 5, 0)


def test_unusable_sentences_are_counted_before_split():
    sentences = [["a"], [], ["b"] * 4, ["c", "d"], ["a"], ["e"], ["f"] * 3, ["b"] * 4]
    splits = split_sentences(sentences, (4,), True, 1, 1, None)
    assert (splits.train, splits.valid, splits.test) == ([["a"], ["c", "d"]], [["e"]], [["f"] * 3])
    left_out = "left out: 1 empty, 2 longer than 3 words, 1 repeated"
    assert splits.notes == (f"text: 8 sentences, {left_out}",)
    assert splits.about.endswith(f", {left_out}")
    ways = "or raise dataset.shape, or set dataset.source.unique=false"
    with pytest.raises(DataError, match=rf"4 sentences \({left_out}\) cannot give 3 for .*, {ways}$"):
        split_sentences(sentences, (4,), True, 3, 1, None)


def test_fixed_splits_count_long_sentences():
    data = dataset([["a"], ["a"] * 4, ["a"] * 3, []], test=[["a"], ["a"] * 9]).load()
    assert data.dataset.notes == (
        "mine, train: left out: 1 empty, 1 longer than 3 words",
        "mine, test: left out: 1 longer than 3 words",
    )
    assert data.dataset.protocol.endswith(
        "; train: left out: 1 empty, 1 longer than 3 words; test: left out: 1 longer than 3 words"
    )
    assert dataset([["a"]]).load().dataset.notes == ()


def test_unknown_words_drop_the_truth():
    log_p = torch.tensor([-1.0, -2.0])
    known, unknown = [["a"], ["b"]], [["a"], ["z"]]
    assert dataset([["a", "b"]], test=known, log_p=log_p).load().test.log_p is log_p
    assert dataset([["a", "b"]], test=unknown, log_p=log_p).load().test.log_p is None
