"""An objective's honest terms, averaged over a split."""

import torch
from torch import nn

from dgm_run import rng
from dgm_run.data.dataset import Examples
from dgm_run.objectives.base import Objective


@torch.no_grad()
def validate(model: nn.Module, objective: Objective, data: Examples, batch_size: int, seed: int) -> dict[str, float]:
    """The mean of every named term over the examples of `data`, ragged last batch weighted right.

    The same noise is used every time, so that two evaluations differ by the weights alone.
    """
    was_training = model.training
    model.eval()
    rng.reseed(seed, "validation")
    rows = []
    for start in range(0, len(data), batch_size):
        x = data.batch(slice(start, start + batch_size))
        _, terms = objective(model, x)
        rows.append(torch.stack(list(terms.values())).double() * len(x))
    model.train(was_training)
    means = torch.stack(rows).sum(0) / len(data)
    return dict(zip(terms, means.tolist(), strict=True))
