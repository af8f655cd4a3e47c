"""Sentences of a small probabilistic grammar, whose true log-likelihood is known.

Source: F. Jelinek, J. Lafferty, R. Mercer, Basic methods of probabilistic context free grammars, 1992 (inside sums).
"""

import math
from collections import defaultdict
from functools import cache

import torch
from torch import Tensor

from dgm_run.data.text import Sentence, TextSplits

PAIRS: dict[str, dict[tuple[str, str], float]] = {
    "S": {("NP", "VP"): 1.0},
    "NP": {("DET", "NBAR"): 0.8, ("NP", "PP"): 0.2},
    "NBAR": {("ADJ", "NBAR"): 0.2},
    "VP": {("V", "NP"): 0.5, ("VP", "PP"): 0.15, ("SAY", "CLAUSE"): 0.1},
    "CLAUSE": {("THAT", "S"): 1.0},
    "PP": {("P", "NP"): 1.0},
}
"""Rules A -> B C with their probabilities. The grammar is ambiguous: several trees have the same words."""
WORDS: dict[str, dict[str, float]] = {
    "DET": {"the": 0.6, "a": 0.3, "every": 0.1},
    "NBAR": {"dog": 0.2, "cat": 0.15, "girl": 0.12, "man": 0.1, "bird": 0.08, "telescope": 0.08, "park": 0.07},
    "ADJ": {"old": 0.4, "small": 0.3, "happy": 0.2, "grey": 0.1},
    "VP": {"sleeps": 0.12, "sings": 0.08, "waits": 0.05},
    "V": {"sees": 0.4, "likes": 0.3, "finds": 0.2, "follows": 0.1},
    "SAY": {"says": 0.6, "thinks": 0.4},
    "THAT": {"that": 1.0},
    "P": {"with": 0.5, "in": 0.3, "near": 0.2},
}
"""Rules A -> word with their probabilities."""


class PCFG:
    """Independent sentences of the grammar with at most `max_words` words.

    Args:
        max_words: largest number of words.
        num_train, num_valid, num_test: numbers of sentences.
        seed: seed of the draws.

    Raises:
        ValueError: every sentence of the grammar is longer.
    """

    def __init__(self, max_words: int, num_train: int, num_valid: int, num_test: int, seed: int):
        self.max_words = max_words
        if max_words < 3 or not self.compute_short_probability() > 0:
            raise ValueError(f"max_words = {max_words} must be at least 3, the length of the shortest sentences")
        self.sizes = (num_train, num_valid, num_test)
        self.seed = seed

    def __call__(self) -> TextSplits:
        generator = torch.Generator().manual_seed(self.seed)
        train, valid, test = [[self.sample(generator) for _ in range(size)] for size in self.sizes]
        unique = {sentence: self.log_prob(sentence) for sentence in set(test)}
        earlier = f"num_train={self.sizes[0]} and num_valid={self.sizes[1]} others"
        about = f"test sentences drawn with seed {self.seed} after {earlier}"
        log_p = torch.tensor([unique[s] for s in test], dtype=torch.float64)
        return TextSplits(list(train), list(valid), list(test), log_p_test=log_p, about=about)

    def sample(self, generator: torch.Generator) -> tuple[str, ...]:
        """Draws a sentence; sentences that are too long are drawn again."""
        while True:
            words: list[str] = []
            stack = ["S"]
            while stack and len(words) + len(stack) <= self.max_words:  # every open symbol gives a word or more
                choices, probabilities = _list_choices(stack.pop())
                chosen = choices[int(torch.multinomial(probabilities, 1, generator=generator))]
                if isinstance(chosen, str):
                    words.append(chosen)
                else:
                    stack += reversed(chosen)
            if not stack:
                return tuple(words)

    def log_prob(self, sentence: Sentence) -> float:
        """Computes log p of a sentence in nats: the sum over all its trees, normalised over short sentences."""
        n = len(sentence)
        inside: dict[tuple[int, int], dict[str, float]] = {}
        for i, word in enumerate(sentence):
            inside[i, i + 1] = {symbol: words[word] for symbol, words in WORDS.items() if word in words}
        for span in range(2, n + 1):
            for i in range(n - span + 1):
                cell: dict[str, float] = defaultdict(float)
                for middle in range(i + 1, i + span):
                    left = inside[i, middle]
                    right = inside[middle, i + span]
                    for symbol, pairs in PAIRS.items():
                        for (b, c), p in pairs.items():
                            if b in left and c in right:
                                cell[symbol] += p * left[b] * right[c]
                inside[i, i + span] = dict(cell)
        p = inside[0, n].get("S", 0.0) if n else 0.0
        return math.log(p) - math.log(self.compute_short_probability()) if p and n <= self.max_words else -math.inf

    def compute_short_probability(self) -> float:
        """Computes the probability that the grammar gives at most `max_words` words."""
        by_length = {symbol: [0.0] * (self.max_words + 1) for symbol in {*PAIRS, *WORDS}}
        for symbol, words in WORDS.items():
            by_length[symbol][1] = sum(words.values())
        for n in range(2, self.max_words + 1):
            for symbol, pairs in PAIRS.items():
                by_length[symbol][n] = sum(
                    p * by_length[b][k] * by_length[c][n - k] for (b, c), p in pairs.items() for k in range(1, n)
                )
        return sum(by_length["S"])


@cache
def _list_choices(symbol: str) -> tuple[list[str | tuple[str, str]], Tensor]:
    """Returns the right sides of the rules of a symbol, and their probabilities."""
    pairs = PAIRS.get(symbol, {})
    words = WORDS.get(symbol, {})
    return [*pairs, *words], torch.tensor([*pairs.values(), *words.values()])
