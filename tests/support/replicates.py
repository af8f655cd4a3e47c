"""Means over many replicates of one example, with their standard errors."""

import math

import torch
from torch import Tensor, nn

from dgm_run.objectives.base import Objective
from tests.support import exact


def mean_terms(objective: Objective, model: nn.Module, x: Tensor, blocks: int = 40) -> dict[str, tuple[float, float]]:
    """Mean and standard error of the loss and of every term over `blocks` calls."""
    rows: dict[str, list[float]] = {}
    with torch.no_grad():
        for _ in range(blocks):
            loss, terms = objective(model, x)
            for name, value in {"loss": loss, **terms}.items():
                rows.setdefault(name, []).append(value.item())
    values = {name: torch.tensor(row) for name, row in rows.items()}
    return {name: (row.mean().item(), row.std().item() / math.sqrt(blocks)) for name, row in values.items()}


def mean_gradient(objective: Objective, model: nn.Module, blocks: int = 50) -> tuple[Tensor, Tensor]:
    """Mean gradient of the loss at the toy's x and its standard error, (P,) over all parameters."""
    x = torch.full((2000, 1), exact.TOY_X)
    rows = torch.stack([gradient(objective(model, x)[0], model) for _ in range(blocks)])
    return rows.mean(0), rows.std(0) / math.sqrt(blocks)


def gradient(loss: Tensor, model: nn.Module) -> Tensor:
    """Returns the gradient in all parameters as one vector, (P,), with zeros for unused ones."""
    parameters = list(model.parameters())
    rows = torch.autograd.grad(loss, parameters, allow_unused=True)
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if row is None else row.flatten()
            for p, row in zip(parameters, rows, strict=True)
        ]
    )
