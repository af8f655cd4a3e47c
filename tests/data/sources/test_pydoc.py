import re

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.sources.pydoc import Pydoc, _select_prose


def test_sentences_are_unique_select_prose():
    splits = Pydoc((41,), 144, 144, 0)()
    sentences = [tuple(s) for part in splits[:3] for s in part]
    assert len(sentences) == len(set(sentences)) > 1200
    assert min(map(len, sentences)) >= 4
    assert not any("::=" in " ".join(s) or ">>>" in " ".join(s) for s in sentences)
    assert ("mappings", "are", "mutable", "objects", ".") in sentences
    assert [len(splits.valid), len(splits.test)] == [144, 144]


def test_checksum_stands_beside_every_number():
    dataset = instantiate(compose("dataset=pydoc").dataset)
    data = dataset.load()
    assert re.search(r"; md5 [0-9a-f]{8}, left out: \d+ longer than 40 words, \d+ repeated$", data.dataset.protocol)
    assert len(data.train) > 900
    assert len(data.train.vocabulary) == 1500


def test_empty_paragraphs_are_passed_over():
    assert list(_select_prose("One two three four.\n\n\n\n* \n\nFive six seven eight.")) == [
        ["one", "two", "three", "four", "."],
        ["five", "six", "seven", "eight", "."],
    ]
