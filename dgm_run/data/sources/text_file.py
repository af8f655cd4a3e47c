"""Sentences of the user, from a text file."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dgm_run.data.text import TextSplits, split_paragraph, split_sentences, split_words
from dgm_run.errors import DataError


class TextFile:
    """File of plain text in UTF-8.

    Args:
        path: path of the file.
        shape: (T,), tokens of the longest sentence with its end; longer sentences are left out before the split.
        units: lines (each is a sentence) or sentences (of paragraphs, between blank lines).
        tokens: words (lower-case words and marks) or spaces (text that is already split by spaces).
        unique: whether each sentence is taken once, so that no sentence is in two splits.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: seed of the shuffle before the split; null keeps the order and takes the last sentences.
    """

    def __init__(
        self,
        path: str,
        shape: Sequence[int],
        units: Literal["lines", "sentences"],
        tokens: Literal["words", "spaces"],
        unique: bool,
        num_valid: int,
        num_test: int,
        split_seed: int | None,
    ):
        self.path = path
        self.shape = tuple(shape)
        self.units = units
        self.tokens = tokens
        self.unique = unique
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed

    def __call__(self) -> TextSplits:
        text = read_text(Path(self.path).expanduser().resolve(), "set dataset.source.path to a file of plain text")
        split = split_words if self.tokens == "words" else str.split
        if self.units == "lines":
            units = text.removesuffix("\n").split("\n")  # splitlines would also cut at characters inside of lines
        else:
            units = [sentence for paragraph in _PARAGRAPH_END.split(text) for sentence in split_paragraph(paragraph)]
        sentences = [split(unit) for unit in units]
        if not any(sentences):
            raise DataError(f"{self.path}: it holds no word: choose another file")
        return split_sentences(sentences, self.shape, self.unique, self.num_valid, self.num_test, self.split_seed)


def read_text(path: Path, hint: str) -> str:
    """Reads a file of text, with line ends as "\\n" and composed letters (NFC), so that one word has one spelling.

    Raises:
        DataError: the file is missing, or is no text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; {hint}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8 ({error})") from None
    return unicodedata.normalize("NFC", text.replace("\ufeff", ""))  # byte-order marks, also those of joined files


_PARAGRAPH_END = re.compile(r"\n\s*\n|\u2029")
