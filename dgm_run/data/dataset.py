"""Data set of a run: three splits on the device, prepared by one protocol."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data import binarize as binarization
from dgm_run.data.augmentations import Augmentation, AugmentationChain
from dgm_run.data.conform import (
    BLOCK_SIZE,
    NAMES,
    check_labels,
    check_levels,
    check_values,
    conform_levels,
    conform_shapes,
)
from dgm_run.data.corruptions import Corruption, Missing, MissingValues
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.describe import advise_standardizing, describe_constant, describe_missing, refuse_rounding
from dgm_run.data.labelled import check_num_labels, choose_balanced
from dgm_run.data.memmap import OnDisk
from dgm_run.data.preprocessing import UNCHANGED, Preprocessing
from dgm_run.data.split import RawSplit, RawSplits, digest
from dgm_run.data.standardize import Standardization
from dgm_run.errors import DataError

MAX_CHECKED_VALUES = 100_000_000
"""Number of values of a file on the disk that are checked before training."""


class Dataset:
    """Data set: a source, and a protocol of binarisation or dequantisation with fixed evaluation sets.

    Under `dynamic` the training pixels are drawn again for every batch. Validation and test sets are drawn once, under
    `noise_seed`, so that every run is evaluated on the same bits.

    Args:
        source: returns the raw splits; reads files only when called.
        name: name in the results.
        shape: shape of one example, e.g. (1, 28, 28).
        num_levels: grey levels of the source, or null for real values.
        binarize: none | threshold | fixed | dynamic.
        dequantize: whether uniform noise is added to the levels, for densities over continuous values.
        noise_seed: seed of the binary pixels or the noise that are drawn once.
        num_classes: number of classes, or null without labels.
        num_labels: number of labelled training examples, equally many of each class; null for all.
        label_seed: seed of the choice of labels.
        standardize: none | columns (each element has its own scale) | global (one scale for all) | null: columns for
            real values with one axis, else none. Mean and scale are those of the training split; all densities stay
            in the data's own units. Grey levels have a scale already: global leaves them unchanged.
        corrupt: corruption of all examples, in evaluation too; null for none. NaN in real values is always missing.
        corrupt_seed: seed of the corruption noise.
        augment: augmentations of training images by name; null or none for none.

    Attributes:
        notes: lines for the log about the data, after loading.
        preprocessing: preprocessing of the data for the model, after loading.

    Raises:
        DataError: the data have another shape or range than declared.
        ValueError: the options exclude each other.
    """

    def __init__(
        self,
        source: Callable[[], RawSplits],
        name: str,
        shape: Sequence[int],
        num_levels: int | None,
        binarize: Literal["none", "threshold", "fixed", "dynamic"],
        dequantize: bool,
        noise_seed: int,
        num_classes: int | None,
        num_labels: int | None,
        label_seed: int,
        standardize: Literal["none", "columns", "global"] | None,
        corrupt: Corruption | None,
        corrupt_seed: int,
        augment: Mapping[str, Augmentation] | None,
    ):
        check_num_labels(num_labels, num_classes)
        if binarize != "none" and dequantize:
            raise ValueError("binarize and dequantize exclude each other: set one of binarize=none, dequantize=false")
        if num_levels is None and binarize != "none":
            raise ValueError("real-valued data have no grey levels to binarise: set binarize=none")
        if num_levels is not None and standardize == "columns":
            raise ValueError("grey levels have a scale already: set standardize=none")
        if num_levels is not None:
            standardize = "none"
        elif standardize is None:
            standardize = "columns" if len(shape) == 1 else "none"
        self.standardize = standardize
        self.name = name
        self.shape = tuple(shape)
        self.num_levels = num_levels
        self.binarize = binarize
        self.noise_seed = noise_seed
        self.dequantize = dequantize and num_levels is not None
        self.num_classes = num_classes
        self.num_labels = num_labels
        self.label_seed = label_seed
        self.corrupt = corrupt
        self.corrupt_seed = corrupt_seed
        self.augment = AugmentationChain(augment, self.shape, binarize, corrupt) if augment else None
        self._source = source
        self._about = ""
        self._num_valid: int | None = None
        self.notes: tuple[str, ...] = ()
        self.preprocessing = UNCHANGED
        if corrupt:
            corrupt.check(self.shape)
        if corrupt and self.kind not in corrupt.takes:
            raise ValueError(
                f"corrupt: {type(corrupt).__name__} takes {' or '.join(corrupt.takes)} data, and binarize={binarize}, "
                f"dequantize={str(dequantize).lower()} give {self.kind}: change them, or choose another dataset/corrupt"
            )

    @property
    def kind(self) -> str:
        """Kind of the model's input: `binary`, `levels` (k / (num_levels - 1)) or `continuous`."""
        return binarization.find_kind(self.num_levels, self.binarize, self.dequantize)

    @property
    def protocol(self) -> str:
        """Protocol as text, which stands beside every likelihood."""
        augmented = str(self.augment or "")
        if self.corrupt is None:
            return self._protocol + self._about + augmented
        drawn = "" if isinstance(self.corrupt, MissingValues) else f", drawn with seed {self.corrupt_seed}"
        return f"{self._protocol}{self._about}; seen through {self.corrupt}{drawn}{augmented}"

    @property
    def _protocol(self) -> str:
        """Binarisation or dequantisation as text, without corruption and augmentation."""
        if self.dequantize:
            return f"none (uniform dequantisation, test noise drawn once with {self._noise_seed})"
        if self.binarize == "none" and self.kind == "binary":
            return "none (the data are binary)"
        if self.binarize in ("none", "threshold"):
            return self.binarize
        train = "training pixels fixed as well" if self.binarize == "fixed" else "training pixels redrawn"
        return f"{self.binarize} (test pixels drawn once with {self._noise_seed}, {train})"

    @property
    def _noise_seed(self) -> str:
        """Seed of the test noise as text, with the number of validation examples, whose noise is drawn first."""
        valid_first = "" if self._num_valid is None else f" after num_valid={self._num_valid} validation examples"
        return f"seed {self.noise_seed}{valid_first}"

    def adopt_protocol(self, other: "Dataset") -> None:
        """Adopts binarisation, dequantisation and noise seed of another data set, for a comparison."""
        self.binarize = other.binarize
        self.dequantize = other.dequantize
        self.noise_seed = other.noise_seed

    def load(self, device: torch.device | str = "cpu", preprocessing: Preprocessing | None = None) -> "LoadedDataset":
        """Reads the source and prepares the splits on `device`.

        Args:
            device: device of the examples.
            preprocessing: preprocessing of a trained model; None to determine it from the training split.
        """
        splits, notes = self.conform(self._source())
        for name in NAMES:
            self._check(getattr(splits, name), name)
        notes += self._describe(splits, preprocessing)
        self._determine_preprocessing(splits, preprocessing)
        generator = torch.Generator().manual_seed(self.noise_seed)
        prepared = {}
        for name in ("valid", "test", "train"):  # evaluation sets do not depend on the size of train
            split = getattr(splits, name)
            prepared[name] = self._corrupt_split(self.prepare_split(split, name == "train", generator), name)
            if split.y is not None and self.num_classes is not None:
                prepared[name].labelled = self._choose_labelled(split.y, name)
        prepared["train"].augment = self.augment
        prepared = {name: examples.to(torch.device(device)) for name, examples in prepared.items()}
        digests = (f"md5 {digest(splits)}",) if self._is_users_own else ()
        self._about = "".join(f"; {each}" for each in (*digests, splits.about) if each)
        self._num_valid = len(prepared["valid"])
        self.notes = (*splits.notes, *notes)
        return LoadedDataset(self, **prepared)

    @property
    def _is_users_own(self) -> bool:
        return getattr(self._source, "is_users_own", False)

    def conform(self, splits: RawSplits) -> tuple[RawSplits, list[str]]:
        """Brings the splits to the declared shape and levels, and returns lines for the log."""
        splits, notes = conform_shapes(splits, self.shape, self.name)
        if self.num_levels is None:
            return splits, notes
        splits, more = conform_levels(splits, self.num_levels, self.name)
        return splits, [*notes, *more]

    def _describe(self, splits: RawSplits, given: Preprocessing | None) -> list[str]:
        """Checks a user's own values, and returns lines for the log."""
        train = self._select_checked_values(splits.train.x)
        if not self._is_users_own:
            return []
        if self.num_levels is not None:
            return check_levels(train, self.num_levels, self.name)
        values = {name: self._select_checked_values(getattr(splits, name).x) for name in NAMES}
        notes = describe_missing(values, self.name) + describe_constant(train, self.name)
        if self.standardize != "none":
            scales = {"columns": "each column by its own scale", "global": "all columns by one scale"}[self.standardize]
            scales = "by the scales of the model" if given else scales
            return [*notes, f"{self.name}: standardised, {scales}; densities are in the units of the data"]
        refuse_rounding(train, self.name)
        return notes + advise_standardizing(train, self.name)

    def _determine_preprocessing(self, splits: RawSplits, given: Preprocessing | None) -> None:
        """Determines units, those of the data unless they are given, and whether values are missing."""
        has_missing = bool(given and given.has_missing_values) or (
            self.num_levels is None and any(_has_missing(self._select_checked_values(each.x)) for each in splits)
        )
        if has_missing and self.corrupt and not isinstance(self.corrupt, Missing):
            raise DataError(
                f"dataset/corrupt: {self.name} has missing values (NaN), which {type(self.corrupt).__name__} cannot "
                "be added to: choose one of missing_at_random, missing_rows, missing_half, missing_block, or drop it"
            )
        if has_missing and not self.corrupt:
            self.corrupt = MissingValues()
        units = given.standardization if given else self._fit_standardization(splits.train.stored)
        self.preprocessing = Preprocessing(units, has_missing)
        if has_missing and self.augment and self.preprocessing.standardization:
            raise DataError(
                f"dataset/augment: {self.name} has missing values (NaN) and is standardised: set "
                "dataset.standardize=none, or drop dataset/augment"
            )

    def _fit_standardization(self, train: Tensor) -> Standardization | None:
        """Fits mean and scale to the training examples, unless the data keep their units."""
        if self.standardize == "none":
            return None
        return Standardization.fit(lambda: train.split(BLOCK_SIZE), self.standardize)

    def _select_checked_values(self, x: Tensor | OnDisk) -> Tensor:
        """Returns all values, or the first values of a file."""
        return x.x[: max(1, MAX_CHECKED_VALUES // math.prod(self.shape))] if isinstance(x, OnDisk) else x

    def _corrupt_split(self, examples: DataSplit, name: str) -> DataSplit:
        examples.corrupt = self.corrupt
        if self.corrupt and not examples.disk:  # examples on the disk have only their own missing values
            generator = torch.Generator().manual_seed(rng.key(self.corrupt_seed, name))
            examples.corruption_noise = self.corrupt.draw(len(examples), self.shape, generator)
            if self.preprocessing.has_missing_values:
                examples.corruption_noise = examples.corruption_noise | examples.x.isnan()
        return examples

    def _choose_labelled(self, y: Tensor, name: str) -> Tensor:
        """Returns the positions of the examples whose labels may be used; -1 is no label."""
        if name == "train" and self.num_labels is not None:
            assert self.num_classes is not None  # see `check_num_labels`
            return choose_balanced(y, self.num_labels, self.num_classes, self.label_seed, self.name)
        return (y >= 0).nonzero().flatten()

    def _check(self, split: RawSplit, name: str) -> None:
        """Refuses a split that is empty, has labels or values of another kind, or cannot be prepared on the disk."""
        is_on_disk = isinstance(split.x, OnDisk)
        stored = split.stored
        if len(stored) == 0:
            raise DataError(f"dataset: the {name} split of {self.name} is empty")
        if is_on_disk and (self.binarize == "fixed" or self.corrupt):
            raise DataError(
                "dataset: examples on the disk cannot be changed permanently: set dataset.binarize=dynamic, threshold "
                "or none, and dataset.corrupt=null"
            )
        if split.y is not None and len(split.y) != len(stored):
            raise DataError(f"dataset: {self.name} has {len(stored)} {name} examples and {len(split.y)} labels")
        if self.num_classes is not None:
            check_labels(split.y, self.num_classes, name, self.name)
        check_values(self._select_checked_values(split.x), self.num_levels, name, self.name)

    def prepare_split(self, split: RawSplit, is_training: bool, generator: torch.Generator) -> DataSplit:
        """Prepares a split by the protocol; `generator` draws the pixels or the noise of an evaluation set."""
        if isinstance(split.x, OnDisk):
            return self._make_raw_split(split.stored, split, split.x)
        x = split.x
        if is_training and self.augment and self.binarize != "fixed":
            return self._make_raw_split(x, split)
        levels = self.num_levels
        if levels is None:
            standardize = self.preprocessing.standardization
            x = to_float(standardize(x) if standardize else x)
            return DataSplit(x, split.y, to_float, log_p=self._select_log_p(split), standardization=standardize)
        if self.dequantize:
            log_bin_width = -math.log(levels)
            if is_training:
                return DataSplit(x, split.y, partial(binarization.dequantize, num_levels=levels), log_bin_width)
            return DataSplit(binarization.dequantize(x, levels, generator), split.y, to_float, log_bin_width)
        if self.binarize == "dynamic" and is_training:
            return DataSplit(x, split.y, partial(_draw_binary, num_levels=levels))
        if self.binarize == "threshold":
            return DataSplit(binarization.threshold(x, levels), split.y, to_float)
        if self.binarize in ("fixed", "dynamic"):
            return DataSplit(binarization.sample(x, levels, generator), split.y, to_float)
        return DataSplit(
            x, split.y, partial(binarization.to_intensities, num_levels=levels), log_p=self._select_log_p(split)
        )

    def _select_log_p(self, split: RawSplit) -> Tensor | None:
        return None if self.corrupt else split.log_p  # log_p of complete examples is not that of corrupted ones

    def _make_raw_split(self, x: Tensor, split: RawSplit, disk: OnDisk | None = None) -> DataSplit:
        """Makes a split of training examples x that stay as they are, and are prepared batch by batch."""
        levels = self.num_levels
        log_bin_width = -math.log(levels) if levels is not None and self.dequantize else 0.0
        if levels is None:
            prepare = partial(_standardize, standardization=self.preprocessing.standardization)
        elif self.dequantize:
            prepare = partial(binarization.dequantize, num_levels=levels)
        else:
            convert = {"none": binarization.to_intensities, "threshold": _threshold, "dynamic": _draw_binary}[
                self.binarize
            ]
            prepare = partial(convert, num_levels=levels)
        log_p = self._select_log_p(split)
        standardize = self.preprocessing.standardization
        return DataSplit(x, split.y, prepare, log_bin_width, disk=disk, log_p=log_p, standardization=standardize)


def _has_missing(x: Tensor) -> bool:
    """Returns whether a tensor, which may be mapped, has missing values (NaN)."""
    return any(bool(part.isnan().any()) for part in x.split(BLOCK_SIZE))


class DataDescription(Protocol):
    """Description of a data set of images, vectors or sentences. `Dataset` documents the attributes."""

    name: str
    shape: tuple[int, ...]
    num_levels: int | None
    num_classes: int | None
    corrupt: Corruption | None
    augment: AugmentationChain | None
    notes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def kind(self) -> str: ...
    @property
    def protocol(self) -> str: ...


class LoadedDataset:
    """Prepared splits of a data set, on one device.

    Attributes:
        dataset: description of the data set.
        train, valid, test: the splits.
    """

    def __init__(self, dataset: DataDescription, train: DataSplit, valid: DataSplit, test: DataSplit):
        self.dataset = dataset
        self.train = train
        self.valid = valid
        self.test = test

    def restrict_to_training(self, num: int) -> "LoadedDataset":
        """Returns the data with the first `num` training examples for training and validation.

        Raises:
            DataError: none of them is labelled, and others are.
        """
        train = self.train.take(num)
        if len(self.train.labelled) > len(train.labelled) == 0:
            raise DataError(f"trainer.overfit_examples = {num}: none of them has a label: raise it")
        return LoadedDataset(self.dataset, train, train, self.test)


def _standardize(values: Tensor, standardization: Standardization | None) -> Tensor:
    return to_float(standardization(values) if standardization else values)


def _threshold(levels: Tensor, num_levels: int) -> Tensor:
    return to_float(binarization.threshold(levels, num_levels))


def _draw_binary(levels: Tensor, num_levels: int) -> Tensor:
    return rng.bernoulli(binarization.to_intensities(levels, num_levels))
