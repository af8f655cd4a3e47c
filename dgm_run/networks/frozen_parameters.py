"""Freezing of parameters during a computation."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen_parameters(*parts: nn.Module) -> Iterator[None]:
    """Freezes the parameters of these parts inside the context; all other gradients stay the same."""
    trainable = [parameter for part in parts for parameter in part.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
