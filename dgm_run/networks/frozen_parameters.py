"""Parts that something is computed by, and that are not to learn from it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen_parameters(*parts: nn.Module) -> Iterator[None]:
    """What is computed inside gives no gradient to the parameters of these parts, and to all else what it would."""
    learning = [parameter for part in parts for parameter in part.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
