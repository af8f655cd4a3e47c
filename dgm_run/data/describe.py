"""Says what stands out in a user's real values: missing ones, constant columns, scales that differ widely."""

from collections.abc import Mapping

from torch import Tensor

WIDE = 1000.0
"""Ratio of the scales of two columns, or of a mean to a scale, from which training suffers."""

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
    x = train.flatten(1).double()
    count = (~x.isnan()).sum(0).clamp(min=1)
    mean = x.nansum(0) / count
    scale = ((x - mean).square().nansum(0) / count).sqrt()
    changes = scale > 0
    if not bool(changes.any()):
        return []
    low, high, far = scale[changes].min(), scale.max(), (mean.abs() / scale)[changes].max()
    if high <= WIDE * low and far <= WIDE:
        return []
    return [
        f"{name}: columns have standard deviations from {low:.3g} to {high:.3g} and means of up to {far:.3g} of them: "
        "dataset.standardize=columns brings them to one scale"
    ]
