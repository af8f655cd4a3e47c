"""Independent pixels on binary data and on grey levels, a baseline for models without another one."""

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import Baseline

BATCH_SIZE = 1_000
"""Examples at a time."""
NUM_TRAIN = 60_000
"""Number of training examples, the first ones, that give the shares of the levels."""
ADVICE = "train longer, or change optimizer.lr or the sizes of the networks"


@torch.no_grad()
def fit_independent_pixels(data: LoadedDataset) -> Baseline | None:
    """Fits independent pixels with the level shares of the training data; returns log p(x) of the test examples.

    One of each level is added to the counts of each pixel (Laplace's rule), so that no test example is impossible.
    Returns None for real values, which have other baselines, for sentences, and for data with missing elements.
    """
    kind = data.dataset.kind
    if kind not in ("binary", "levels") or data.train.corrupt:
        return None
    num_levels = 2 if kind == "binary" else data.dataset.num_levels
    assert num_levels is not None
    counts = torch.zeros((), dtype=torch.int64)
    for x in data.train.batches(BATCH_SIZE, NUM_TRAIN):
        if bool(x.isnan().any()):
            return None
        index = _index_elements(x, num_levels)
        counts = counts + torch.bincount(index.flatten(), minlength=index.shape[1] * num_levels)
    log_share = torch.log((counts + 1.0).double().view(-1, num_levels))
    log_share = (log_share - log_share.logsumexp(1, keepdim=True)).flatten()  # (D K,)
    return Baseline("independent pixels", _log_prob(log_share, data.test, num_levels), ADVICE)


def _index_elements(x: Tensor, num_levels: int) -> Tensor:
    """Returns the index of each element in a table of pixels and levels, (B, D)."""
    levels = (x.flatten(1) * (num_levels - 1)).round().long()
    return levels + num_levels * torch.arange(levels.shape[1], device=levels.device)


def _log_prob(log_share: Tensor, data: DataSplit, num_levels: int) -> Tensor:
    """Computes log p(x) of each example from a table of log-shares, (D K,): (N,), nats."""
    return torch.cat([log_share[_index_elements(x, num_levels)].sum(1).cpu() for x in data.batches(BATCH_SIZE)])
