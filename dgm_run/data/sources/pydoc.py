"""Sentences of Python's own documentation, about 1,300, which come with every Python. No download.

The text is that of help("topics"). It differs a little between versions of Python. Every number is therefore reported
with a checksum of the sentences.
"""

from collections.abc import Iterator, Sequence

from dgm_run.data.text import Sentence, TextSplits, split_paragraph, split_sentences, split_words

MIN_WORDS = 4


class Pydoc:
    """Sentences of at least four words, each once.

    Args:
        shape: (T,), tokens of the longest sentence with its end; longer sentences are left out before the split.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: seed of the shuffle before the split.
    """

    def __init__(self, shape: Sequence[int], num_valid: int, num_test: int, split_seed: int):
        self.shape = tuple(shape)
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed

    def __call__(self) -> TextSplits:
        from pydoc_data.topics import topics  # half a megabyte

        text = "\n\n".join(topics[name] for name in sorted(topics))
        return split_sentences(
            list(_select_prose(text)), self.shape, True, self.num_valid, self.num_test, self.split_seed
        )


def _select_prose(text: str) -> Iterator[Sentence]:
    """Yields the whole sentences of a text as words, without code, grammar and headings."""
    for paragraph in text.split("\n\n"):
        if "::=" in paragraph or ">>>" in paragraph:  # grammar and dialogues
            continue
        for sentence in split_paragraph(paragraph.strip("* \n")):
            words = split_words(sentence)
            num_alphabetic = sum(word[0].isalpha() for word in words)
            is_whole = sentence[0].isupper() and sentence.endswith((".", "!", "?"))  # else it is code or a heading
            if len(words) >= MIN_WORDS and is_whole and num_alphabetic > 0.7 * len(words):
                yield words
