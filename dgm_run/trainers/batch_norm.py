"""Refuses batches that are too small for batch normalisation."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dgm_run.config.schema import PARTS
from dgm_run.errors import ConfigError


def refuse_single_values(
    model: nn.Module,
    compute_loss: Callable[[Tensor], Any],
    num_examples: int,
    batch_size: int,
    num_parts: int,
    device: torch.device,
) -> None:
    """Refuses batches in which a channel has a single value, which has no variance: torch would raise.

    One example is enough if a channel has several positions. So the loss of the smallest batch is computed once, and
    each normalisation counts its inputs. Evaluation mode keeps the running statistics as they are.

    Args:
        model: model, whose mode is kept.
        compute_loss: positions of examples, (B,) -> anything; calls the model as a training step does.
        num_examples: number of training examples.
        batch_size: examples of a step.
        num_parts: parts of every batch.
        device: device of these positions.

    Raises:
        ConfigError: a batch is too small; the message names the batch size, and one to choose.
    """
    was_training = model.training
    norms: dict[str, nn.Module] = {
        name: part for name, part in model.train().named_modules() if isinstance(part, _BatchNorm) and part.training
    }
    smallest = count_smallest_part(num_examples, batch_size, num_parts)
    try:
        single = _find_single_values(model.eval(), norms, compute_loss, torch.arange(smallest, device=device))
    finally:
        model.train(was_training)
    if not single:
        return
    keys = [word for name in single for word in name.split(".") if word in PARTS]
    owner = f" of the {keys[-1]}" if keys else ""
    remedies = [f"set {keys[-1]}.batch_norm=false"] if keys else []
    if smallest > 1:
        remedy = "".join(remedies)
        raise ConfigError(f"the batch normalisation{owner} has one value of a channel, without a variance: {remedy}")
    size = find_near_batch_size(num_examples, batch_size, num_parts)
    if size:
        remedies.insert(0, f"choose trainer.batch_size={size}")
    parts = f" with trainer.micro_batches={num_parts}" if num_parts > 1 else ""
    where = "a part of a batch" if num_parts > 1 else "the last batch"
    raise ConfigError(
        f"trainer.batch_size={batch_size}{parts} leaves 1 of {num_examples:,} examples in {where}: "
        f"the batch normalisation{owner} needs two or more: {' or '.join(remedies)}"
    )


def count_smallest_part(num_examples: int, batch_size: int, num_parts: int) -> int:
    """Counts the examples in the smallest part of the last batch of an epoch, which is the smallest batch."""
    last = (num_examples - 1) % batch_size + 1
    return max(1, last // num_parts)


def find_near_batch_size(num_examples: int, batch_size: int, num_parts: int) -> int | None:
    """Finds the batch size closest to `batch_size` that leaves no example alone; None if there is none."""
    sizes = [b for b in range(num_parts, num_examples + 1) if count_smallest_part(num_examples, b, num_parts) > 1]
    return min(sizes, key=lambda b: (abs(b - batch_size), b), default=None)


def _find_single_values(
    model: nn.Module, norms: dict[str, nn.Module], compute_loss: Callable[[Tensor], Any], index: Tensor
) -> list[str]:
    """Names the normalisations whose input has one value of each channel."""
    if not norms:
        return []
    single: list[str] = []
    with ExitStack() as hooks:
        for name, norm in norms.items():

            def count(_: nn.Module, inputs: tuple[Tensor], name: str = name) -> None:
                if inputs[0].numel() == inputs[0].shape[1]:
                    single.append(name)

            hooks.callback(norm.register_forward_pre_hook(count).remove)
        compute_loss(index)
    return single
