"""Models of several layers, trained layer by layer before they are trained as a whole."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """Training stage of one layer.

    Attributes:
        model: model of the layer, trained by itself.
        prepare: maps x to the stage's training examples, (B, *shape) -> (B, *model.shape).
        finish: copies the trained parameters into the whole model; called once, at the end.
    """

    model: nn.Module
    prepare: Callable[[Tensor], Tensor]
    finish: Callable[[], None]


class LayeredModel(nn.Module, ABC):
    """Model whose layers can be trained one after another.

    Attributes:
        num_stages: number of stages.
        joint_stage_name: name of the joint training that follows the stages, for messages.
    """

    num_stages: int
    joint_stage_name: ClassVar[str] = "all layers together"

    @classmethod
    def count_stages(cls, settings: Mapping[str, Any]) -> int:
        """Counts the layers of a model with these settings."""
        return len(settings["num_hidden"])

    @abstractmethod
    def build_stage(self, index: int) -> Stage:
        """Returns the stage of layer `index`, counted from 0; earlier stages are finished."""


def layer_sizes(shape: Sequence[int], num_hidden: Sequence[int]) -> list[int]:
    """Returns the number of units of each layer, the pixels first.

    Raises:
        ValueError: there are fewer than two hidden layers, or one is empty.
    """
    if len(num_hidden) < 2:
        raise ValueError(f"num_hidden = {list(num_hidden)} needs two layers or more; for one layer choose model=rbm")
    if min(num_hidden) < 1:
        raise ValueError(f"num_hidden = {list(num_hidden)} must be positive")
    return [math.prod(shape), *num_hidden]
