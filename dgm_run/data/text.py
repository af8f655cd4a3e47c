"""Sentences as a run uses them: rows of token numbers, resident on the device."""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples, LoadedDataset, to_float
from dgm_run.data.preprocessing import UNCHANGED
from dgm_run.errors import DataError
from dgm_run.vocabulary import SPECIAL, UNKNOWN, Vocabulary, lengths

Sentence = Sequence[str]


class TextSplits(NamedTuple):
    """What a source of sentences delivers: words of each.

    Attributes:
        train, valid, test: sentences.
        log_p_test: their true log-likelihoods, (N,), nats, where the source knows them.
        about: describes the text beside every number, in the results' protocol; empty for nothing.
        notes: lines for the log: what the source left out.
    """

    train: list[Sentence]
    valid: list[Sentence]
    test: list[Sentence]
    log_p_test: Tensor | None = None
    about: str = ""
    notes: tuple[str, ...] = ()


class Sentences(Examples):
    """One split. A batch holds token numbers as floats, since densities take their type from x.

    Args:
        tokens: (N, T) as `Vocabulary.encode` makes them.
        vocabulary: theirs.
        log_p: the true log-likelihood of each, (N,), nats, or None.
    """

    def __init__(self, tokens: Tensor, vocabulary: Vocabulary, log_p: Tensor | None = None):
        super().__init__(tokens, None, to_float, log_p=log_p)
        self.vocabulary = vocabulary

    @property
    def num_seen(self) -> Tensor:
        """Tokens of each, its end among them and no padding, (N,)."""
        return lengths(self.x)


class TextDataset:
    """Reads a source of sentences; words that are not among the most frequent of training are <unk>.

    Args:
        source: returns the sentences; reads files only when called.
        name: stands in the results.
        shape: tokens of the longest sentence, its end among them: (T,). Longer ones are left out.
        vocab_size: words that are told apart, the four special ones among them; outputs are as many.

    Raises:
        ValueError: there is no place for a word.
        DataError: there are no sentences, or no word of them is known.
    """

    kind = "tokens"
    corrupt = None
    num_levels = None
    preprocessing = UNCHANGED

    def __init__(self, source: Callable[[], TextSplits], name: str, shape: Sequence[int], vocab_size: int):
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(f"shape = {list(shape)}: one number, the tokens of the longest sentence, two or more")
        if vocab_size <= len(SPECIAL):
            raise ValueError(f"vocab_size = {vocab_size} must exceed {len(SPECIAL)}, the special tokens")
        self.name, self.shape, self.vocab_size, self._source = name, tuple(shape), vocab_size, source
        self._about = ""
        self.notes: tuple[str, ...] = ()

    @property
    def binarization(self) -> str:
        """How the text became numbers, as it stands beside every likelihood."""
        words = f"none (words, {self.vocab_size} told apart, at most {self.shape[0] - 1} in a sentence)"
        return words + self._about

    def load(self, device: torch.device | str = "cpu") -> LoadedDataset:
        """Reads the source and prepares the splits on `device`."""
        splits = self._source()
        kept = {name: self._short(getattr(splits, name), name) for name in ("train", "valid", "test")}
        vocabulary = Vocabulary.of(kept["train"], self.vocab_size)
        tokens = {name: vocabulary.encode(sentences, self.shape[0]) for name, sentences in kept.items()}
        for name, rows in tokens.items():
            if bool((rows[:, :-1] <= UNKNOWN).all()):
                raise DataError(
                    f"dataset.vocab_size: no word of the {name} sentences of {self.name} is among the "
                    f"{self.vocab_size} that are told apart: raise it, or look at the text"
                )
        are_whole = len(kept["test"]) == len(splits.test) and not bool((tokens["test"] == UNKNOWN).any())
        log_p = splits.log_p_test if are_whole else None  # of the words, not of what is told apart of them
        self._about = f"; {splits.about}" if splits.about else ""
        self.notes = splits.notes
        found = {name: Sentences(rows, vocabulary, log_p if name == "test" else None) for name, rows in tokens.items()}
        return LoadedDataset(self, **{name: each.to(torch.device(device)) for name, each in found.items()})

    def _short(self, sentences: list[Sentence], name: str) -> list[Sentence]:
        kept = [sentence for sentence in sentences if 0 < len(sentence) < self.shape[0]]
        if not kept:
            why = f"none of {len(sentences)} has fewer than {self.shape[0]} tokens" if sentences else "it is empty"
            raise DataError(f"dataset: there are no {name} sentences in {self.name}: {why}")
        return kept


def words_of(sentence: str) -> list[str]:
    """Lower-case words, numbers and marks of a sentence."""
    return re.findall(r"[^\W\d]\w*(?:['’-][^\W\d]\w*)*|\d+(?:[.,]\d+)*|[^\w\s]", sentence.lower())


def sentences_of(paragraph: str) -> list[str]:
    """A paragraph cut after full stops, question and exclamation marks that a capital or a quotation follows."""
    return re.split(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z])", " ".join(paragraph.split()))


def split_sentences(
    sentences: list[Sentence], num_valid: int, num_test: int, split_seed: int | None, about: str = ""
) -> TextSplits:
    """Training, validation and test sentences in this order, shuffled first unless the seed is None.

    Raises:
        DataError: validation and test leave nothing to train on.
    """
    if len(sentences) <= num_valid + num_test:
        raise DataError(
            f"{len(sentences)} sentences cannot give {num_valid} for validation and {num_test} for test: "
            "lower dataset.source.num_valid or num_test"
        )
    if split_seed is not None:
        order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(split_seed))
        sentences = [sentences[i] for i in order.tolist()]
    first, second = len(sentences) - num_valid - num_test, len(sentences) - num_test
    return TextSplits(sentences[:first], sentences[first:second], sentences[second:], about=about)
