"""Describes a user's real values for the log: missing values, constant columns, different scales."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dgm_run.errors import DataError

MAX_SCALE_RATIO = 1000.0
"""Ratio of the scales of two columns, or of a mean to a scale, above which training suffers."""

MAX_ROUNDING_ERROR = 0.01
"""Largest rounding error of single precision, in standard deviations of a column."""

MAX_NAMED_COLUMNS = 10


def describe_missing(values: Mapping[str, Tensor], name: str) -> list[str]:
    """Counts the missing values (NaN) of each split, in a line; returns no line if there are none.

    Args:
        values: values (N, *shape) by split.
        name: name of the data set.
    """
    counts = {split: int(x.isnan().sum()) for split, x in values.items()}
    if not any(counts.values()):
        return []
    listed = ", ".join(f"{count:,} of {values[split].numel():,} in {split}" for split, count in counts.items())
    return [f"{name}: NaN is a missing value: {listed}; likelihoods are those of the observed values"]


def refuse_rounding(train: Tensor, name: str) -> None:
    """Refuses values in double precision that the run's single precision cannot represent.

    Raises:
        DataError: the rounding error is too large; the message names the column and what to set.
    """
    if train.dtype != torch.float64 or torch.get_default_dtype() == torch.float64:
        return
    mean, scale = _compute_moments(train)
    lost = torch.where(scale > 0, mean.abs() * torch.finfo(torch.float32).eps / scale, 0.0)
    if lost.max() > MAX_ROUNDING_ERROR:
        column = int(lost.argmax())
        raise DataError(
            f"dataset: single precision would round column {column} of {name} (mean {mean[column]:.4g}, standard "
            f"deviation {scale[column]:.4g}): set dataset.standardize=columns or trainer.precision=fp64"
        )


def _compute_moments(train: Tensor) -> tuple[Tensor, Tensor]:
    """Computes mean and standard deviation of each column over its observed values, (D,)."""
    x = train.flatten(1).double()
    count = (~x.isnan()).sum(0).clamp(min=1)
    mean = x.nansum(0) / count
    return mean, ((x - mean).square().nansum(0) / count).sqrt()


def describe_constant(train: Tensor, name: str) -> list[str]:
    """Names the columns that never change in training."""
    x = train.flatten(1)
    low = x.nan_to_num(float("inf")).amin(0)
    high = x.nan_to_num(float("-inf")).amax(0)
    constant = (high <= low).nonzero().flatten().tolist()
    if not constant:
        return []
    listed = ", ".join(map(str, constant[:MAX_NAMED_COLUMNS])) + (", ..." if len(constant) > MAX_NAMED_COLUMNS else "")
    return [f"{name}: {len(constant)} of {x.shape[1]} columns never change in training: {listed}"]


def advise_standardizing(train: Tensor, name: str) -> list[str]:
    """Advises to standardise columns whose scales or means differ widely; returns no line otherwise."""
    mean, scale = _compute_moments(train)
    is_varying = scale > 0
    if not bool(is_varying.any()):
        return []
    low = scale[is_varying].min()
    high = scale.max()
    mean_ratio = (mean.abs() / scale)[is_varying].max()
    if high <= MAX_SCALE_RATIO * low and mean_ratio <= MAX_SCALE_RATIO:
        return []
    return [
        f"{name}: columns have standard deviations from {low:.3g} to {high:.3g}, and means of up to {mean_ratio:.3g} "
        "standard deviations: dataset.standardize=columns gives them one scale"
    ]
