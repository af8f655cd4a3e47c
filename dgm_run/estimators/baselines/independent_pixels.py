"""What independent pixels reach on binary data and on grey levels: a baseline for models that bring none."""

import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.estimators.base import Baseline

ROWS = 1_000
"""Examples at a time."""
TRAINED_ON = 60_000
"""The first training examples, by which the shares of the levels are told."""
ADVICE = "train longer, or change optimizer.lr or the sizes of the networks"


@torch.no_grad()
def fit_independent_pixels(data: LoadedDataset) -> Baseline | None:
    """Returns log p(x) of the test examples where each pixel by itself has the levels of the training data.

    One of each level is added to the counts of each pixel (Laplace's rule), so that no test example is impossible.
    Real values have other baselines; of sentences, and of data with holes, this says nothing.
    """
    kind = data.dataset.kind
    if kind not in ("binary", "levels") or data.train.corrupt:
        return None
    num_levels = 2 if kind == "binary" else data.dataset.num_levels
    assert num_levels is not None
    counts = torch.zeros((), dtype=torch.int64)
    for x in data.train.batches(ROWS, TRAINED_ON):
        if bool(x.isnan().any()):
            return None
        index = _index(x, num_levels)
        counts = counts + torch.bincount(index.flatten(), minlength=index.shape[1] * num_levels)
    log_share = torch.log((counts + 1.0).double().view(-1, num_levels))
    log_share = (log_share - log_share.logsumexp(1, keepdim=True)).flatten()  # (D K,)
    return Baseline("independent pixels", _log_prob(log_share, data.test, num_levels), ADVICE)


def _index(x: Tensor, num_levels: int) -> Tensor:
    """The place of each element in a table of pixels and levels, (B, D)."""
    levels = (x.flatten(1) * (num_levels - 1)).round().long()
    return levels + num_levels * torch.arange(levels.shape[1], device=levels.device)


def _log_prob(log_share: Tensor, data: DataSplit, num_levels: int) -> Tensor:
    return torch.cat([log_share[_index(x, num_levels)].sum(1).cpu() for x in data.batches(ROWS)])
