"""Words and their numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

PAD, START, END, UNKNOWN = range(4)
"""What stands after the end of a sentence, before its first word, at its end, and for words that are not known."""
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


class Vocabulary:
    """The most frequent words; a sentence is a row of their numbers, with the end as its last, and then nothing.

    Args:
        words: without the special ones, in the order of their numbers.
    """

    def __init__(self, words: Sequence[str]):
        self.words = [*SPECIAL, *(word for word in words if word not in SPECIAL)]
        self.index = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def from_sentences(cls, sentences: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """The `size` most frequent, the special ones among them; of as frequent ones the first by their letters."""
        counts = Counter(word for sentence in sentences for word in sentence if word not in SPECIAL)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: size - len(SPECIAL)])

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """What `write` has written."""
        return cls(path.read_text(encoding="utf-8").split("\n")[len(SPECIAL) : -1])

    def write(self, path: Path) -> None:
        """A word a line, the special ones first: a line's place is the word's number."""
        path.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, sentences: Sequence[Sequence[str]], length: int) -> Tensor:
        """Numbers of the words, the end and padding: (N, length). Sentences are shorter than `length`.

        What a text calls as the special tokens are called is a word that is not known.
        """
        found = torch.full((len(sentences), length), PAD)
        for row, sentence in zip(found, sentences, strict=True):
            numbers = [max(self.index.get(word, UNKNOWN), UNKNOWN) for word in sentence]
            row[: len(numbers) + 1] = torch.tensor([*numbers, END])
        return found

    def decode(self, tokens: Tensor) -> list[str]:
        """Sentences as text, up to their ends: (N, T) -> N strings."""
        return [self._text(row) for row in tokens.long().tolist()]

    def _text(self, row: list[int]) -> str:
        end = row.index(END) if END in row else len(row)
        unknown = SPECIAL[UNKNOWN]  # a model may have more outputs than there are words
        return " ".join(self.words[token] if token < len(self) else unknown for token in row[:end])


def trim_padding(tokens: Tensor) -> Tensor:
    """The leading columns in which any row has a token; all of them where to know would be to wait for a device."""
    if tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return tokens
    return tokens[:, : max(1, int(count_tokens(tokens).max()))]


def count_tokens(tokens: Tensor) -> Tensor:
    """How many tokens are predicted of each sentence: its words and its end, (N, T) -> (N,)."""
    return (tokens != PAD).sum(-1)
