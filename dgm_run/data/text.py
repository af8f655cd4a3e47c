"""Data sets of sentences, as rows of token numbers on the device."""

import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import regex
import torch
from torch import Tensor

from dgm_run.data.augmentations import AugmentationChain
from dgm_run.data.corruptions import Corruption
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.preprocessing import UNCHANGED
from dgm_run.distributions.vocabulary import SPECIAL, UNKNOWN, Vocabulary, count_tokens
from dgm_run.errors import DataError

Sentence = Sequence[str]

VOCABULARY = "vocabulary.txt"
"""File in the run folder of a model of sentences: its words, in the order of their numbers."""


class TextSplits(NamedTuple):
    """Sentences of a source, each a sequence of words.

    Attributes:
        train, valid, test: sentences of each split.
        log_p_test: true log-likelihoods of the test sentences, (N,), nats; None if unknown.
        about: description of the text for the protocol in the results; empty for none.
        notes: lines for the log about sentences that were left out.
    """

    train: list[Sentence]
    valid: list[Sentence]
    test: list[Sentence]
    log_p_test: Tensor | None = None
    about: str = ""
    notes: tuple[str, ...] = ()


class Sentences(DataSplit):
    """Sentences of one split. A batch holds token numbers as floats, because densities take their type from x.

    Args:
        tokens: token numbers, (N, T), from `Vocabulary.encode`.
        vocabulary: vocabulary of the tokens.
        log_p: true log-likelihood of each sentence, (N,), nats, or None.
    """

    def __init__(self, tokens: Tensor, vocabulary: Vocabulary, log_p: Tensor | None = None):
        super().__init__(tokens, None, to_float, log_p=log_p)
        self.vocabulary = vocabulary

    @property
    def num_observed(self) -> Tensor:
        """Number of tokens of each sentence, with its end and without padding, (N,)."""
        return count_tokens(self.x)


class TextDataset:
    """Data set of sentences. Words that are not among the most frequent in training become <unk>.

    Args:
        source: returns the sentences; reads files only when called.
        name: name in the results.
        shape: (T,), tokens of the longest sentence with its end. Longer sentences are left out, and counted.
        vocab_size: size of the vocabulary with its four special tokens; it is the number of outputs.

    Attributes:
        notes: lines for the log about the text, after loading.

    Raises:
        ValueError: shape or vocabulary leave no place for a word.
        DataError: there are no sentences, or none of their words is in the vocabulary.
    """

    kind = "tokens"
    corrupt: Corruption | None = None
    augment: AugmentationChain | None = None
    num_levels: int | None = None
    num_classes: int | None = None
    preprocessing = UNCHANGED

    def __init__(self, source: Callable[[], TextSplits], name: str, shape: Sequence[int], vocab_size: int):
        if len(shape) != 1 or shape[0] < 2:
            raise ValueError(f"shape = {list(shape)}: one number, the tokens of the longest sentence, two or more")
        if vocab_size <= len(SPECIAL):
            raise ValueError(f"vocab_size = {vocab_size} must exceed {len(SPECIAL)}, the special tokens")
        self.name = name
        self.shape = tuple(shape)
        self.vocab_size = vocab_size
        self._source = source
        self._about = ""
        self.notes: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """Protocol as text, which stands beside every likelihood."""
        words = f"none (words, {self.vocab_size} told apart, at most {self.shape[0] - 1} in a sentence)"
        return words + self._about

    def load(self, device: torch.device | str = "cpu", vocabulary: Vocabulary | None = None) -> LoadedDataset:
        """Reads the source and prepares the splits on `device`.

        Args:
            device: device of the sentences.
            vocabulary: vocabulary of a trained model; None for that of the training sentences.
        """
        splits = self._source()
        kept = {}
        left_out = {}  # counts by reason
        for name in ("train", "valid", "test"):
            kept[name], left_out[name] = self._select(getattr(splits, name), name)
        is_own = vocabulary is None
        vocabulary = vocabulary or Vocabulary.from_sentences(kept["train"], self.vocab_size)
        tokens = {name: vocabulary.encode(sentences, self.shape[0]) for name, sentences in kept.items()}
        for name, rows in tokens.items():
            if bool((rows[:, :-1] <= UNKNOWN).all()):
                raise DataError(
                    f"dataset.vocab_size: no word of the {name} sentences of {self.name} is in the vocabulary of "
                    f"{self.vocab_size} words: raise it, or check the text"
                )
        is_unchanged = len(kept["test"]) == len(splits.test) and not bool((tokens["test"] == UNKNOWN).any())
        log_p = splits.log_p_test if is_unchanged else None  # <unk> changes the log-likelihood
        notes = [f"{name}: {_describe_left_out(counts)}" for name, counts in left_out.items() if counts]
        self._about = "".join(f"; {each}" for each in (splits.about, *notes) if each)
        self.notes = (*splits.notes, *(f"{self.name}, {each}" for each in notes))
        if is_own and 2 * len(vocabulary) < self.vocab_size:
            self.notes += (
                f"{self.name}: the training sentences have {len(vocabulary) - len(SPECIAL):,} different words: "
                f"dataset.vocab_size={len(vocabulary)} leaves out outputs that no word needs",
            )
        loaded = {name: Sentences(rows, vocabulary, log_p if name == "test" else None) for name, rows in tokens.items()}
        return LoadedDataset(self, **{name: each.to(torch.device(device)) for name, each in loaded.items()})

    def _select(self, sentences: list[Sentence], name: str) -> tuple[list[Sentence], dict[str, int]]:
        """Selects the usable sentences of a split, and counts the others by reason."""
        kept, left_out = select_sentences(sentences, self.shape[0])
        if not kept:
            reason = f"none of {len(sentences)} has fewer than {self.shape[0]} tokens" if sentences else "it is empty"
            raise DataError(f"dataset: there are no {name} sentences in {self.name}: {reason}")
        return kept, left_out


def split_words(sentence: str) -> list[str]:
    """Splits a sentence into lower-case words, numbers and marks, none of them white space.

    The boundaries are the default ones of Unicode: an apostrophe joins, a hyphen splits, 3.14 is one word, and a
    letter keeps its combining marks. Scripts without spaces have no word boundaries without a dictionary: Chinese and
    Thai split into characters.

    Source: Unicode Standard Annex #29, Text Segmentation, section 4, https://www.unicode.org/reports/tr29/.
    """
    lower = unicodedata.normalize("NFC", sentence.lower())  # lower-case letters may compose where capitals do not
    return [piece.strip() for piece in _WORD_BOUNDARY.split(lower) if not _INVISIBLE.fullmatch(piece)]


def split_paragraph(paragraph: str) -> list[str]:
    """Splits a paragraph into sentences of any script, by the default boundaries of Unicode. Line ends are spaces.

    No list of abbreviations helps: "z. B. Bonn" is split after each full stop, "e.g. this" is not.

    Source: Unicode Standard Annex #29, Text Segmentation, section 5, https://www.unicode.org/reports/tr29/.
    """
    text = " ".join(paragraph.split())
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    pieces = [text[start:end].strip() for start, end in pairwise((0, *ends, len(text)))]
    return [piece for piece in pieces if piece]


def encode_lines(lines: Sequence[str], vocabulary: Vocabulary, length: int) -> Sentences:
    """Encodes lines of text, one sentence each, as the data set of a run with this vocabulary.

    Raises:
        DataError: a line has no word, or does not fit into `length` tokens.
    """
    sentences = [split_words(line) for line in lines]
    for number, words in enumerate(sentences, 1):
        if not 0 < len(words) < length:
            raise DataError(f"line {number} has {len(words)} words: a sentence has 1 to {length - 1}")
    return Sentences(vocabulary.encode(sentences, length), vocabulary)


def select_sentences(
    sentences: Sequence[Sentence], length: int, unique: bool = False
) -> tuple[list[Sentence], dict[str, int]]:
    """Selects sentences that have a word and fit into `length` tokens, each once if `unique`.

    Returns:
        The sentences in their order, and the number of sentences left out, by reason.
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
    """Selects usable sentences, and splits them into training, validation and test, in this order.

    Args:
        sentences: sentences, each a sequence of words.
        shape: (T,), tokens of the longest sentence with its end.
        unique: whether each sentence is taken once.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: seed of the shuffle; None keeps the order.

    Raises:
        DataError: no training sentences are left.
    """
    kept, left_out = select_sentences(sentences, shape[0], unique)
    if len(kept) <= num_valid + num_test:
        explanation = f" ({_describe_left_out(left_out)})" if left_out else ""
        raise DataError(
            f"{len(kept)} sentences{explanation} cannot give {num_valid} for validation and {num_test} for test: "
            f"lower dataset.source.num_valid or num_test{_advise_keeping(left_out)}"
        )
    if split_seed is not None:
        order = torch.randperm(len(kept), generator=torch.Generator().manual_seed(split_seed))
        kept = [kept[i] for i in order.tolist()]
    num_train = len(kept) - num_valid - num_test
    num_train_valid = num_train + num_valid
    splits = kept[:num_train], kept[num_train:num_train_valid], kept[num_train_valid:]
    about = f"md5 {hashlib.md5(repr(splits).encode()).hexdigest()[:8]}"
    if not left_out:
        return TextSplits(*splits, about=about)
    note = f"text: {len(sentences):,} sentences, {_describe_left_out(left_out)}"
    return TextSplits(*splits, about=f"{about}, {_describe_left_out(left_out)}", notes=(note,))


def _advise_keeping(left_out: dict[str, int]) -> str:
    """Names the settings that keep more sentences."""
    has_longer = any(reason.startswith("longer") for reason in left_out)
    more = ", or raise dataset.shape" if has_longer else ""
    return more + (", or set dataset.source.unique=false" if "repeated" in left_out else "")


def _describe_left_out(left_out: dict[str, int]) -> str:
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
"""End of a sentence with its closing marks and spaces. SB* are the rules of the annex, without line ends."""
