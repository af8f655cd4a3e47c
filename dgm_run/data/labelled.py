"""Choice of the training examples whose labels are used."""

import torch
from torch import Tensor

from dgm_run.errors import DataError


def check_num_labels(num_labels: int | None, num_classes: int | None) -> None:
    """Refuses a number of labels that cannot be equal for all classes.

    Raises:
        ValueError: one line says what to set.
    """
    if num_labels is None:
        return
    if not num_classes:
        raise ValueError(f"num_labels = {num_labels}: the data have no labels: set num_labels=null")
    if num_labels < 1 or num_labels % num_classes:
        raise ValueError(
            f"num_labels = {num_labels} must be a positive multiple of num_classes = {num_classes}, or null"
        )


def choose_balanced(y: Tensor, num_labels: int, num_classes: int, seed: int, name: str) -> Tensor:
    """Returns the positions of equally many random examples of each class, (num_labels,), in their order.

    Args:
        y: labels, (N,), where -1 is no label.
        num_labels: number of examples in all, a multiple of `num_classes`.
        num_classes: number of classes.
        seed: seed of the choice.
        name: name of the data set.

    Raises:
        DataError: a class has too few examples.
    """
    num_each = num_labels // num_classes
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    chosen = []
    for k in range(num_classes):
        of_class = order[y[order] == k]
        if len(of_class) < num_each:
            raise DataError(
                f"dataset.num_labels: {num_labels} labels need {num_each} of each class, and class {k} of {name} has "
                f"{len(of_class)}: set a smaller number"
            )
        chosen.append(of_class[:num_each])
    return torch.cat(chosen).sort().values
