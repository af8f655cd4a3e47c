"""Sentences as a run uses them: rows of token numbers, resident on the device."""

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex
import torch
from torch import Tensor

from dgm_run.data.corruptions import Corruption
from dgm_run.data.dataset import DataSplit, LoadedDataset, to_float
from dgm_run.data.preprocessing import UNCHANGED
from dgm_run.distributions.vocabulary import SPECIAL, UNKNOWN, Vocabulary, lengths
from dgm_run.errors import DataError

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


class Sentences(DataSplit):
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
    def num_observed(self) -> Tensor:
        """Tokens of each, its end among them and no padding, (N,)."""
        return lengths(self.x)


class TextDataset:
    """Reads a source of sentences; words that are not among the most frequent of training are <unk>.

    Args:
        source: returns the sentences; reads files only when called.
        name: stands in the results.
        shape: tokens of the longest sentence, its end among them: (T,). Longer ones are left out, and counted.
        vocab_size: words that are told apart, the four special ones among them; outputs are as many.

    Attributes:
        notes: lines for the log about the text, once it is loaded.

    Raises:
        ValueError: there is no place for a word.
        DataError: there are no sentences, or no word of them is known.
    """

    kind = "tokens"
    corrupt: Corruption | None = None
    num_levels: int | None = None
    num_classes: int | None = None
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
    def protocol(self) -> str:
        """How the text became numbers, as it stands beside every likelihood."""
        words = f"none (words, {self.vocab_size} told apart, at most {self.shape[0] - 1} in a sentence)"
        return words + self._about

    def load(self, device: torch.device | str = "cpu") -> LoadedDataset:
        """Reads the source and prepares the splits on `device`."""
        splits = self._source()
        kept, left_out = {}, {}
        for name in ("train", "valid", "test"):
            kept[name], left_out[name] = self._select(getattr(splits, name), name)
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
        without = [f"{name}: {_describe(counts)}" for name, counts in left_out.items() if counts]
        self._about = "".join(f"; {each}" for each in (splits.about, *without) if each)
        self.notes = (*splits.notes, *(f"{self.name}, {each}" for each in without))
        if 2 * len(vocabulary) < self.vocab_size:
            self.notes += (
                f"{self.name}: the training sentences have {len(vocabulary) - len(SPECIAL):,} different words: "
                f"dataset.vocab_size={len(vocabulary)} leaves out outputs that no word needs",
            )
        found = {name: Sentences(rows, vocabulary, log_p if name == "test" else None) for name, rows in tokens.items()}
        return LoadedDataset(self, **{name: each.to(torch.device(device)) for name, each in found.items()})

    def _select(self, sentences: list[Sentence], name: str) -> tuple[list[Sentence], dict[str, int]]:
        kept, left_out = select_sentences(sentences, self.shape[0])
        if not kept:
            why = f"none of {len(sentences)} has fewer than {self.shape[0]} tokens" if sentences else "it is empty"
            raise DataError(f"dataset: there are no {name} sentences in {self.name}: {why}")
        return kept, left_out


def words_of(sentence: str) -> list[str]:
    """Splits a sentence into lower-case words, numbers and marks, none of them white space.

    The boundaries are the default ones of Unicode: an apostrophe joins, a hyphen splits, 3.14 is one word, and a
    letter keeps its combining marks. Scripts without spaces have no word boundaries without a dictionary: Chinese and
    Thai split into characters.

    Source: Unicode Standard Annex #29, Text Segmentation, section 4, https://www.unicode.org/reports/tr29/.
    """
    lower = unicodedata.normalize("NFC", sentence.lower())  # lower-case letters may compose where capitals do not
    return [piece.strip() for piece in _WORD_BOUNDARY.split(lower) if not _INVISIBLE.fullmatch(piece)]


def sentences_of(paragraph: str) -> list[str]:
    """Splits a paragraph into sentences of any script, by the default boundaries of Unicode. Line ends are spaces.

    No list of abbreviations helps: "z. B. Bonn" is split after each full stop, "e.g. this" is not.

    Source: Unicode Standard Annex #29, Text Segmentation, section 5, https://www.unicode.org/reports/tr29/.
    """
    text = " ".join(paragraph.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    pieces = [text[start:end].strip() for start, end in pairwise((0, *ends, len(text)))]
    return [piece for piece in pieces if piece]


def select_sentences(
    sentences: Sequence[Sentence], length: int, unique: bool = False
) -> tuple[list[Sentence], dict[str, int]]:
    """Keeps sentences that have a word and fit into `length` tokens, each once if `unique`; counts the others.

    Returns:
        The sentences in their order, and how many were left out for each reason.
    """
    fitting = [sentence for sentence in sentences if 0 < len(sentence) < length]
    kept: list[Sentence] = fitting
    if unique:
        kept = [list(words) for words in dict.fromkeys(map(tuple, fitting))]
    num_empty = sum(not sentence for sentence in sentences)
    counts = {
        "empty": num_empty,
        f"longer than {length - 1} words": len(sentences) - num_empty - len(fitting),
        "repeated": len(fitting) - len(kept),
    }
    return kept, {reason: count for reason, count in counts.items() if count}


def split_sentences(
    sentences: Sequence[Sentence],
    shape: Sequence[int],
    unique: bool,
    num_valid: int,
    num_test: int,
    split_seed: int | None,
) -> TextSplits:
    """Splits sentences into training, validation and test, in this order, after it has left out what cannot be used.

    Args:
        sentences: words of each.
        shape: (T,), tokens of the longest sentence that is kept, its end among them.
        unique: whether each sentence is taken once.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: seed of the shuffle; None keeps the order.

    Raises:
        DataError: validation and test leave nothing to train on.
    """
    kept, left_out = select_sentences(sentences, shape[0], unique)
    if len(kept) <= num_valid + num_test:
        without = f" ({_describe(left_out)})" if left_out else ""
        raise DataError(
            f"{len(kept)} sentences{without} cannot give {num_valid} for validation and {num_test} for test: "
            f"lower dataset.source.num_valid or num_test{_ways_to_keep(left_out)}"
        )
    if split_seed is not None:
        order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(split_seed))
        kept = [kept[i] for i in order.tolist()]
    first, second = len(kept) - num_valid - num_test, len(kept) - num_test
    splits = kept[:first], kept[first:second], kept[second:]
    about = f"md5 {hashlib.md5(repr(splits).encode()).hexdigest()[:8]}"
    if not left_out:
        return TextSplits(*splits, about=about)
    note = f"text: {len(sentences):,} sentences, {_describe(left_out)}"
    return TextSplits(*splits, about=f"{about}, {_describe(left_out)}", notes=(note,))


def _ways_to_keep(left_out: dict[str, int]) -> str:
    longer = any(reason.startswith("longer") for reason in left_out)
    more = ", or raise dataset.shape" if longer else ""
    return more + (", or set dataset.source.unique=false" if "repeated" in left_out else "")


def _describe(left_out: dict[str, int]) -> str:
    return "left out: " + ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())


_WORD_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.V1)
_INVISIBLE = regex.compile(r"[\s\p{Cc}\p{Cf}]*")
_EXTEND = r"[\p{SB=Extend}\p{SB=Format}]*+"  # rule SB5
_SENTENCE_END = regex.compile(
    rf"""(?:
        \p{{SB=STerm}} {_EXTEND} (?: \p{{SB=Close}} {_EXTEND} )*+ (?: \p{{SB=Sp}} {_EXTEND} )*+        # SB9 to SB11
      | \p{{SB=ATerm}} {_EXTEND}
        (?! \p{{SB=Numeric}} )                                                                       # SB6
        (?! (?<= [\p{{SB=Upper}}\p{{SB=Lower}}] {_EXTEND} \p{{SB=ATerm}} {_EXTEND} ) \p{{SB=Upper}} )    # SB7
        (?: \p{{SB=Close}} {_EXTEND} )*+ (?: \p{{SB=Sp}} {_EXTEND} )*+
        (?! [^\p{{SB=OLetter}}\p{{SB=Upper}}\p{{SB=Lower}}\p{{SB=STerm}}\p{{SB=ATerm}}]*+ \p{{SB=Lower}} )  # SB8
    )
    (?! [\p{{SB=SContinue}}\p{{SB=STerm}}\p{{SB=ATerm}}] )                                             # SB8a
    """,
    regex.VERBOSE | regex.V1,
)
"""What ends a sentence, its closing marks and spaces among it; SB* are the rules of the annex, without line ends."""
