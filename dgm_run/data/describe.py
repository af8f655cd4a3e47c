"""Says what stands out in a user's real values: missing ones, constant columns, scales that differ widely."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dgm_run.errors import DataError

WIDE = 1000.0
"""Ratio of the scales of two columns, or of a mean to a scale, from which training suffers."""

ROUNDED = 0.01
"""Rounding error of single precision, in standard deviations of a column, that is refused."""

NAMED = 10
"""Columns that are named at most."""


def describe_missing(values: Mapping[str, Tensor], name: str) -> list[str]:
    """Says how many values of each split are NaN, if any.

    Args:
        values: (N, *shape) by split.
        name: of the data set.
    """
    counts = {split: int(x.isnan().sum()) for split, x in values.items()}
    if not any(counts.values()):
        return []
    told = ", ".join(f"{count:,} of {values[split].numel():,} in {split}" for split, count in counts.items())
    return [f"{name}: NaN is a missing value: {told}; likelihoods are those of the observed values"]


def refuse_rounding(train: Tensor, name: str) -> None:
    """Refuses values in double precision that single precision, of the run, would round away.

    Raises:
        DataError: it names the column and what to set.
    """
    if train.dtype != torch.float64 or torch.get_default_dtype() == torch.float64:
        return
    mean, scale = _moments(train)
    lost = torch.where(scale > 0, mean.abs() * torch.finfo(torch.float32).eps / scale, 0.0)
    if lost.max() > ROUNDED:
        column = int(lost.argmax())
        raise DataError(
            f"dataset: single precision would round column {column} of {name} (mean {mean[column]:.4g}, standard "
            f"deviation {scale[column]:.4g}): set dataset.standardize=columns or trainer.precision=fp64"
        )


def _moments(train: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column over what is observed, (D,)."""
    x = train.flatten(1).double()
    count = (~x.isnan()).sum(0).clamp(min=1)
    mean = x.nansum(0) / count
    return mean, ((x - mean).square().nansum(0) / count).sqrt()


def describe_constant(train: Tensor, name: str) -> list[str]:
    """Names the columns that never change in training."""
    x = train.flatten(1)
    low, high = x.nan_to_num(float("inf")).amin(0), x.nan_to_num(float("-inf")).amax(0)
    constant = (high <= low).nonzero().flatten().tolist()
    if not constant:
        return []
    told = ", ".join(map(str, constant[:NAMED])) + (", ..." if len(constant) > NAMED else "")
    return [f"{name}: {len(constant)} of {x.shape[1]} columns never change in training: {told}"]


def advise_standardizing(train: Tensor, name: str) -> list[str]:
    """Says so where columns have scales, or means, that are far apart."""
    mean, scale = _moments(train)
    changes = scale > 0
    if not bool(changes.any()):
        return []
    low = scale[changes].min()
    high = scale.max()
    far = (mean.abs() / scale)[changes].max()
    if high <= WIDE * low and far <= WIDE:
        return []
    return [
        f"{name}: columns have standard deviations from {low:.3g} to {high:.3g} and means of up to {far:.3g} of them: "
        "dataset.standardize=columns brings them to one scale"
    ]
