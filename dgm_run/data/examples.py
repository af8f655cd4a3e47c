"""Examples from elsewhere, prepared as the test examples of a data set are."""

import math
from copy import copy

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dgm_run.data.conform import ShapeError, check_levels, describe_reals
from dgm_run.data.corruptions import MissingValues
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import Dataset
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.errors import DataError

NAME = "the array"
"""Name of the examples in messages."""


def to_tensor(x: ArrayLike | Tensor) -> Tensor:
    """Converts an array, a list or a tensor of numbers to a tensor. Masked elements become NaN.

    Raises:
        DataError: it holds no numbers, or rows of unequal lengths.
    """
    if isinstance(x, Tensor) and x.layout == torch.strided and not x.is_complex():
        return x
    try:
        array = np.ma.filled(x.astype(float), np.nan) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
    except (TypeError, ValueError) as error:
        raise DataError(f"{NAME} is no array of numbers: {str(error).splitlines()[0]}") from None
    types = {"b": np.bool_, "u": np.uint8 if array.dtype == np.uint8 else np.int64, "i": np.int64, "f": np.float64}
    if array.dtype.kind not in types:
        raise DataError(f"{NAME} is no array of numbers: its type is {array.dtype}")
    if array.dtype not in (np.float32, np.float16):
        array = array.astype(types[array.dtype.kind])
    return torch.from_numpy(np.array(array))  # a copy has strides that torch knows


def prepare_examples(dataset: Dataset, x: Tensor, preprocessing: Preprocessing) -> DataSplit:
    """Prepares examples by the protocol of a data set: binarisation, noise and units are those of its test examples.

    Args:
        dataset: data set, which need not be loaded.
        x: examples in the units of the data, (N, *shape): grey levels as whole numbers or as intensities in [0, 1],
            real values, or zeros and ones. NaN is a missing value.
        preprocessing: preprocessing of the model.

    Raises:
        DataError: shape or values are not those of the data set; one line says what to change.
    """
    if x.dim() == 0 or not x.numel():
        raise DataError(f"{NAME} holds no examples: give (N, {', '.join(map(str, dataset.shape))})")
    is_missing = x.isnan() if x.is_floating_point() else torch.zeros_like(x, dtype=torch.bool)
    dataset = copy(dataset)  # the preprocessing of the model is not that of the data set
    dataset.preprocessing = preprocessing
    examples = _prepare_complete(dataset, x.masked_fill(is_missing, 0) if bool(is_missing.any()) else x)
    if bool(is_missing.any()):
        examples.corrupt = MissingValues()
        examples.corruption_noise = is_missing.view_as(examples.x)
    return examples


def _prepare_complete(dataset: Dataset, x: Tensor) -> DataSplit:
    try:
        split = _conform(dataset, x)
    except DataError:
        if not (dataset.dequantize and x.is_floating_point() and x.shape[1:] == dataset.shape and _is_in_unit(x)):
            raise
        # values between the levels have their noise already, as samples of the model do
        return DataSplit(x, None, to_float, -math.log(dataset.num_levels or 1))
    return dataset.prepare_split(split, False, torch.Generator().manual_seed(dataset.noise_seed))


def _is_in_unit(x: Tensor) -> bool:
    return bool(((x >= 0) & (x <= 1)).all())


def _conform(dataset: Dataset, x: Tensor) -> RawSplit:
    """Brings examples to the shape and the type of the data set."""
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    if dataset.num_levels is None or x.is_floating_point() or _are_bits(x, dataset):
        x = x.to(kind)
    else:
        _refuse_outside(x, dataset)
        x = x.to(torch.uint8)
    raw = RawSplit(x)
    shape = ", ".join(map(str, dataset.shape))
    try:
        splits, _ = dataset.conform(RawSplits(raw, raw, raw))
    except ShapeError as error:
        raise DataError(
            f"{NAME} has examples of shape {list(error.shape)}, and the model takes {list(dataset.shape)}: give (N, "
            f"{shape})"
        ) from None
    except DataError:
        raise DataError(f"{NAME} holds {describe_reals(x)}, not grey levels: {_ask_for_levels(dataset)}") from None
    found = splits.test.stored
    if bool(found.isinf().any()):
        raise DataError(f"{NAME} holds infinite values: remove them")
    _refuse_dark(found, dataset)
    return splits.test


def _ask_for_levels(dataset: Dataset) -> str:
    return f"give whole numbers from 0 to {(dataset.num_levels or 1) - 1}, or intensities in [0, 1]"


def _refuse_dark(x: Tensor, dataset: Dataset) -> None:
    """Refuses grey levels that are so low that they must have another range."""
    if dataset.num_levels is None:
        return
    try:
        check_levels(x, dataset.num_levels, NAME)
    except DataError:
        raise DataError(
            f"{NAME} has no value above {int(x.max())}, and the data have {dataset.num_levels} levels: "
            f"{_ask_for_levels(dataset)}"
        ) from None


def _are_bits(x: Tensor, dataset: Dataset) -> bool:
    """Returns whether whole numbers are bits of a binarised data set, and not two dark levels."""
    return x.dtype == torch.bool or (dataset.kind == "binary" and int(x.min()) >= 0 and int(x.max()) <= 1)


def _refuse_outside(x: Tensor, dataset: Dataset) -> None:
    assert dataset.num_levels is not None
    low = int(x.min())
    high = int(x.max())
    if low < 0 or high >= dataset.num_levels:
        raise DataError(
            f"{NAME} holds whole numbers from {low} to {high}, and the data have {dataset.num_levels} levels: "
            f"{_ask_for_levels(dataset)}"
        )
