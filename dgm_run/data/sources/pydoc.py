"""The prose of Python's own documentation, embedded in every Python: some 1,300 sentences. No download.

What the interpreter shows for help("topics"). It differs a little from one Python to the next: a checksum of the
sentences stands beside every number.
"""

from collections.abc import Iterator, Sequence

from dgm_run.data.text import Sentence, TextSplits, sentences_of, split_sentences, words_of

MIN_WORDS = 4


class Pydoc:
    """Sentences of four words and more, each once.

    Args:
        shape: (T,), tokens of the longest sentence, its end among them; longer ones are left out before the split.
        num_valid: sentences for validation.
        num_test: sentences for the test set.
        split_seed: of the shuffle before the split.
    """

    def __init__(self, shape: Sequence[int], num_valid: int, num_test: int, split_seed: int):
        self.shape = tuple(shape)
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed

    def __call__(self) -> TextSplits:
        from pydoc_data.topics import topics  # half a megabyte

        text = "\n\n".join(topics[name] for name in sorted(topics))
        return split_sentences(list(_prose(text)), self.shape, True, self.num_valid, self.num_test, self.split_seed)


def _prose(text: str) -> Iterator[Sentence]:
    for paragraph in text.split("\n\n"):
        if "::=" in paragraph or ">>>" in paragraph:  # grammar and dialogues
            continue
        for sentence in sentences_of(paragraph.strip("* \n")):
            words = words_of(sentence)
            letters = sum(word[0].isalpha() for word in words)
            whole = sentence[0].isupper() and sentence.endswith((".", "!", "?"))  # and no code
            if len(words) >= MIN_WORDS and whole and letters > 0.7 * len(words):
                yield words
