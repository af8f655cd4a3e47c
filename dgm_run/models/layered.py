"""Models of several layers, which are trained layer by layer before they are trained as a whole."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """One layer, trained as a machine of its own.

    Attributes:
        model: the machine.
        prepare: what it is trained on: x -> its examples, (B, *shape) -> (B, *model.shape).
        finish: hands what it learned to the whole; once, at the end.
    """

    model: nn.Module
    prepare: Callable[[Tensor], Tensor]
    finish: Callable[[], None]


class LayeredModel(nn.Module, ABC):
    """A model whose layers can be trained one after another.

    Attributes:
        num_stages: how many there are.
        whole: what is trained after them, in words.
    """

    num_stages: int
    whole: ClassVar[str] = "all layers together"

    @classmethod
    def count_stages(cls, settings: Mapping[str, Any]) -> int:
        """Counts the layers of a model that is to be built from these settings."""
        return len(settings["num_hidden"])

    @abstractmethod
    def stage(self, index: int) -> Stage:
        """The layer `index`, from 0, as a machine; those before it are finished."""


def layer_sizes(shape: Sequence[int], num_hidden: Sequence[int]) -> list[int]:
    """Units of every layer, the pixels first; refuses a stack of fewer than two hidden layers.

    Raises:
        ValueError: there are fewer than two hidden layers, or one is empty.
    """
    if len(num_hidden) < 2:
        raise ValueError(f"num_hidden = {list(num_hidden)}: a machine with one hidden layer is model=rbm")
    if min(num_hidden) < 1:
        raise ValueError(f"num_hidden = {list(num_hidden)} must be positive")
    return [math.prod(shape), *num_hidden]
