"""Vocabulary: the map between words and token numbers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

PAD, START, END, UNKNOWN = range(4)
"""Special tokens: padding after the end, start before the first word, end, and unknown words."""
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")


class Vocabulary:
    """Vocabulary of the most frequent words. A sentence is a row of their numbers, closed by the end token and padding.

    Args:
        words: words in the order of their numbers, without special tokens.
    """

    def __init__(self, words: Sequence[str]):
        self.words = [*SPECIAL, *(word for word in words if word not in SPECIAL)]
        self.index = {word: i for i, word in enumerate(self.words)}

    @classmethod
    def from_sentences(cls, sentences: Iterable[Sequence[str]], size: int) -> "Vocabulary":
        """Selects the `size` most frequent words, special tokens included; equal counts are ordered alphabetically."""
        counts = Counter(word for sentence in sentences for word in sentence if word not in SPECIAL)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(ranked[: size - len(SPECIAL)])

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Reads the file that `write` has written."""
        return cls(path.read_text(encoding="utf-8").split("\n")[len(SPECIAL) : -1])

    def write(self, path: Path) -> None:
        """Writes one word a line, special tokens first: a line's position is the word's number."""
        path.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8")

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, sentences: Sequence[Sequence[str]], length: int) -> Tensor:
        """Encodes words, end and padding as numbers: (N, length). Sentences must be shorter than `length`.

        Words of the text that equal a special token are encoded as unknown.
        """
        tokens = torch.full((len(sentences), length), PAD)
        for row, sentence in zip(tokens, sentences, strict=True):
            numbers = [max(self.index.get(word, UNKNOWN), UNKNOWN) for word in sentence]
            row[: len(numbers) + 1] = torch.tensor([*numbers, END])
        return tokens

    def decode(self, tokens: Tensor) -> list[str]:
        """Decodes sentences up to their ends into text: (N, T) -> N strings."""
        return [self._decode_row(row) for row in tokens.long().tolist()]

    def _decode_row(self, row: list[int]) -> str:
        end = row.index(END) if END in row else len(row)
        unknown = SPECIAL[UNKNOWN]  # a model may have more outputs than words
        return " ".join(self.words[token] if token < len(self) else unknown for token in row[:end])


def trim_padding(tokens: Tensor) -> Tensor:
    """Removes the trailing columns of nothing but padding, (N, T) -> (N, T').

    It keeps all columns on an accelerator, because counting tokens would wait for it.
    """
    if tokens.device.type != "cpu" or torch.compiler.is_compiling():
        return tokens
    return tokens[:, : max(1, int(count_tokens(tokens).max()))]


def count_tokens(tokens: Tensor) -> Tensor:
    """Counts the predicted tokens of each sentence, its words and its end: (N, T) -> (N,)."""
    return (tokens != PAD).sum(-1)
