"""A user's own text."""

import hashlib
from pathlib import Path
from typing import Literal

from dgm_run.data.text import Sentence, TextSplits, sentences_of, split_sentences, words_of
from dgm_run.errors import DataError


class TextFile:
    """A file of plain text in UTF-8.

    Args:
        path: the file.
        units: lines (each is a sentence) or sentences (paragraphs, between empty lines, are cut after full stops).
        tokens: words (lower-case words and marks) or spaces (what stands between spaces, as in text that others split).
        unique: whether each sentence is taken once, so that none is in two of the splits.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: of the shuffle before the split; null keeps the order and takes the last ones.
    """

    def __init__(
        self,
        path: str,
        units: Literal["lines", "sentences"],
        tokens: Literal["words", "spaces"],
        unique: bool,
        num_valid: int,
        num_test: int,
        split_seed: int | None,
    ):
        self.path, self.units, self.tokens, self.unique = path, units, tokens, unique
        self.num_valid, self.num_test, self.split_seed = num_valid, num_test, split_seed

    def __call__(self) -> TextSplits:
        text = read(Path(self.path).expanduser().resolve(), "set dataset.source.path to a file of plain text")
        split = words_of if self.tokens == "words" else str.split
        if self.units == "lines":
            units = text.splitlines()
        else:
            units = [sentence for paragraph in text.split("\n\n") for sentence in sentences_of(paragraph)]
        found: list[Sentence] = [words for unit in units if (words := split(unit))]
        if self.unique:
            found = [list(words) for words in dict.fromkeys(map(tuple, found))]
        if not found:
            raise DataError(f"{self.path}: there is no word in it")
        about = f"text md5 {hashlib.md5(text.encode()).hexdigest()}"
        return split_sentences(found, self.num_valid, self.num_test, self.split_seed, about)


def read(path: Path, hint: str) -> str:
    """The text of a file.

    Raises:
        DataError: there is none, or it is no text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; {hint}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text in UTF-8 ({error})") from None
