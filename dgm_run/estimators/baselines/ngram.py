"""N-gram baselines for sentences.

Sources: R. Kneser, H. Ney, Improved backing-off for m-gram language modeling, 1995; S. Chen, J. Goodman, An empirical
study of smoothing techniques for language modeling, 1999 (interpolated).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.text import Sentences
from dgm_run.distributions.vocabulary import END, START
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Baseline, Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.units import estimate_perplexity
from dgm_run.networks.rnn import OFFSET

Context = tuple[int, ...]
ADVICE = "train longer, or change optimizer.lr or the sizes of the network"


class KneserNey:
    """Interpolated Kneser-Ney smoothing.

    The longest context counts the occurrences of a token; shorter contexts count the distinct words before it.

    Args:
        sentences: tokens with their ends, without padding.
        order: n, the number of tokens in a window.
        num_tokens: number of tokens that can be predicted.
        discount: subtracted from every count.
    """

    def __init__(self, sentences: Sequence[Sequence[int]], order: int, num_tokens: int, discount: float):
        self.order = order
        self.num_tokens = num_tokens
        self.discount = discount
        windows = Counter(window for sentence in sentences for window in self._windows(sentence))
        self.levels = [_group_by_context(windows)]
        for _ in range(order - 1):
            windows = Counter(window[1:] for window in windows)  # counts distinct preceding words, not occurrences
            self.levels.append(_group_by_context(windows))

    def _windows(self, sentence: Sequence[int]) -> list[Context]:
        padded = [START] * (self.order - 1) + list(sentence)
        return [tuple(padded[i : i + self.order]) for i in range(len(sentence))]

    def log_prob(self, sentence: Sequence[int]) -> float:
        """Returns log p of a sentence and its end, nats."""
        return sum(math.log(self.prob(window[:-1], window[-1])) for window in self._windows(sentence))

    def prob(self, context: Context, token: int, level: int = 0) -> float:
        """Returns p(token | context)."""
        if level == self.order:
            return 1 / self.num_tokens
        shorter = self.prob(context[1:], token, level + 1)
        counts = self.levels[level].get(context)
        if counts is None:
            return shorter
        total = counts.total()
        return (max(counts[token] - self.discount, 0) + self.discount * len(counts) * shorter) / total


def _group_by_context(windows: Counter) -> dict[Context, Counter]:
    by_context: dict[Context, Counter] = defaultdict(Counter)
    for window, count in windows.items():
        by_context[window[:-1]][window[-1]] = count
    return dict(by_context)


@dataclass(frozen=True)
class NgramBaseline(Estimator[nn.Module]):
    """Perplexities of n-gram models of the orders 1 to `max_order`.

    Args:
        max_order: largest n.
        discount: discount of Kneser and Ney.
        models: the fitted models, after `fit`.

    Raises:
        ValueError: `max_order` is not positive, or the discount does not lie between 0 and 1.
    """

    max_order: int
    discount: float
    models: tuple[KneserNey, ...] = field(default=())

    takes = ("tokens",)

    def __post_init__(self):
        self.require_positive("max_order")
        if not 0 < self.discount < 1:
            raise ValueError(f"discount = {self.discount} must lie between 0 and 1")

    def check(self, model: nn.Module, data: LoadedDataset) -> None:
        if not isinstance(data.train, Sentences):
            raise ConfigError("estimators.ngram_baseline: the data are no sentences: leave the estimator out")

    def fit(
        self, model: nn.Module, train: DataSplit, valid: DataSplit, report: ProgressCallback = no_progress
    ) -> "NgramBaseline":
        assert isinstance(train, Sentences)
        rows = _strip_padding(train)
        num_tokens = len(train.vocabulary) - OFFSET
        orders = range(1, self.max_order + 1)
        return replace(self, models=tuple(KneserNey(rows, order, num_tokens, self.discount) for order in orders))

    def __call__(self, model: nn.Module, data: DataSplit, report: ProgressCallback = no_progress) -> list[Estimate]:
        assert isinstance(data, Sentences)
        estimates = []
        for ngram in self.models:
            log_p = torch.tensor([ngram.log_prob(row) for row in _strip_padding(data)], dtype=torch.float64)
            name = f"{ngram.order}-gram"
            settings = {"discount": self.discount}
            baseline = Baseline(name, log_p, ADVICE)
            estimates.append(estimate_perplexity(log_p, data, name, "exact", settings=settings, baseline=baseline))
            report(ngram.order, len(self.models))
        return estimates


def _strip_padding(data: Sentences) -> list[list[int]]:
    return [row[: row.index(END) + 1] for row in data.x.tolist()]
