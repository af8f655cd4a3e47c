"""Initialises parts of a model from training examples."""

import math

import torch
from torch import nn

from dgm_run.data.data_split import DataSplit
from dgm_run.errors import ConfigError
from dgm_run.models.base import topmost_with_method

MAX_EXAMPLES = 10_000
"""Largest number of examples that parts are initialised from."""
MAX_ELEMENTS = 2**25
"""Largest number of elements of these examples together."""


def initialize(model: nn.Module, train: DataSplit) -> None:
    """Passes training examples to every part with a method `initialize(x)`.

    Raises:
        ConfigError: a part cannot start from these examples; one line says why.
    """
    parts = list(topmost_with_method(model, "initialize"))
    if not parts:
        return
    num_examples = max(1, min(MAX_EXAMPLES, MAX_ELEMENTS // math.prod(train.x.shape[1:])))
    index = torch.randperm(len(train))[:num_examples]
    x = train.batch(index.to(train.x.device))
    try:
        for part in parts:
            part.initialize(x)
    except ValueError as error:
        raise ConfigError(str(error)) from None
