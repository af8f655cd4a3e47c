"""A data set as a run uses it: three splits resident on the device, prepared by one protocol."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data import binarize as bz
from dgm_run.data.conform import NAMES, check_levels, conform_levels, conform_shapes
from dgm_run.data.corruptions import Corruption, Missing, MissingValues
from dgm_run.data.describe import advise_standardizing, describe_constant, describe_missing, refuse_rounding
from dgm_run.data.memmap import OnDisk
from dgm_run.data.preprocessing import UNCHANGED, Preprocessing
from dgm_run.data.split import RawSplit, RawSplits, digest
from dgm_run.data.standardize import Standardization
from dgm_run.distributed import process_group
from dgm_run.errors import DataError

CHECKED = 100_000_000
"""Values of a file on the disk that are looked at before training."""

ROWS = 10_000
"""Examples at a time whose mean and scale are taken."""


class DataSplit:
    """One split on the device, or on the disk. A batch is an index; what is random about it is drawn on the device.

    Args:
        x: (N, *shape) stored values: levels as uint8, or floats. Positions of examples live where it does.
        y: (N,) labels or None.
        prepare: turns stored values into what the model sees.
        log_bin_width: log of the width of a grey level where the values are dequantised, else 0: what turns a
            density into a mass.
        labelled: positions of the examples whose labels may be used; None for all of them.
        corrupt: what stands between the examples and what is seen of them; None for nothing.
        drawn: (N, ...) what is random about that, for each example.
        disk: reads x where it is a file.
        log_p: the true log-likelihood of each of what is seen, (N,), nats, on the CPU, where it is known.
        standardization: the units of what the model sees; None for those of the data.

    Attributes:
        device: where batches are.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        prepare: Callable[[Tensor], Tensor],
        log_bin_width: float = 0.0,
        labelled: Tensor | None = None,
        corrupt: Corruption | None = None,
        corruption_noise: Tensor | None = None,
        disk: OnDisk | None = None,
        log_p: Tensor | None = None,
        standardization: Standardization | None = None,
    ):
        self.x, self.y, self.prepare, self.log_bin_width = x, y, prepare, log_bin_width
        self.labelled = torch.arange(len(x), device=x.device) if labelled is None else labelled
        self.corrupt, self.corruption_noise = corrupt, corruption_noise
        self.disk, self.device, self.log_p = disk, x.device, log_p
        self.standardization = standardization

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, index: Tensor | slice) -> Tensor:
        """The examples at `index` as floats, (B, *shape), as far as they are seen."""
        x = self.prepare(self.disk.at(index, self.device) if self.disk else _at(self.x, index))
        if self.corrupt is None or self.corruption_noise is None:
            return x
        return self.corrupt.apply(x, _at(self.corruption_noise, index))

    def expect(self, indices: Iterable[Tensor]) -> None:
        """Told what `batch` will be asked for next: each a part of a tensor that lives until then."""
        if self.disk:
            self.disk.expect(indices, self.device)

    @property
    def num_observed(self) -> Tensor:
        """How many elements are seen of each example, (N,), or of all of them, a scalar."""
        full = math.prod(self.x.shape[1:])
        return (
            torch.tensor(full)
            if self.corrupt is None or self.corruption_noise is None
            else self.corrupt.num_observed(self.corruption_noise, self.x.shape[1:])
        )

    def in_data_units(self, log_p: Tensor, index: Tensor | slice = slice(None)) -> Tensor:
        """Turns log densities of the examples at `index` as the model sees them, (B,), into those of the data, nats."""
        if self.standardization is None:
            return log_p
        missing = None if self.corruption_noise is None else self.corruption_noise[index]
        return log_p + self.standardization.log_det(missing).to(log_p)

    @property
    def mean_log_det(self) -> float:
        """What `in_data_units` adds in the mean over all examples, nats."""
        return self.in_data_units(torch.zeros(len(self), dtype=torch.float64)).mean().item()

    @property
    def uncorrupted(self) -> "DataSplit":
        """The same as they were before they were corrupted."""
        return self._changed(corrupt=None, corruption_noise=None)

    def map(self, change: Callable[[Tensor], Tensor]) -> "DataSplit":
        """The same without labels, as a function of them shows them."""
        prepare = self.prepare
        return self._changed(y=None, log_p=None, prepare=lambda values: change(prepare(values)))

    def batches(self, size: int, num: int | None = None) -> Iterator[Tensor]:
        """The first `num` examples, or all, in their order: batches of `size`, the last one with what is left."""
        end = len(self) if num is None else min(num, len(self))
        for start in range(0, end, size):
            yield self.batch(slice(start, min(start + size, end)))

    def map_batches(
        self,
        block_size: int,
        find: Callable[[Tensor], dict[str, Tensor]],
        report: Callable[[int, int], None],
        num: int | None = None,
    ) -> dict[str, Tensor]:
        """What `find` has for each of the first `num` examples, or all, in their order: (N, ...) by name.

        Args:
            block_size: examples at a time; several processes share the blocks.
            find: given examples (B, *shape), tensors (B, ...).
            report: told how far the work has come, as (examples done, examples in all); it may raise.
            num: of the examples.
        """
        num = len(self) if num is None else min(num, len(self))
        return process_group.map_blocks(num, block_size, lambda block: find(self.batch(block)), report)

    def to(self, device: torch.device) -> "DataSplit":
        y, corruption_noise = (None if each is None else each.to(device) for each in (self.y, self.corruption_noise))
        x, labelled = (each if self.disk else each.to(device) for each in (self.x, self.labelled))
        return self._changed(x=x, y=y, labelled=labelled, corruption_noise=corruption_noise, device=device)

    def _changed(self, **attributes: Any) -> "DataSplit":
        other = copy(self)
        vars(other).update(attributes)
        return other


def _at(values: Tensor, index: Tensor | slice) -> Tensor:
    # advanced indexing of an 8-bit tensor takes ten times as long
    return values[index] if isinstance(index, slice) else values.index_select(0, index)


class Dataset:
    """Loads a source and applies the protocol: binarisation or dequantisation, with fixed evaluation sets.

    Under `dynamic` the training pixels are drawn anew for every batch; validation and test sets are drawn
    once, under `noise_seed`, so that every run is measured on the same bits.

    Args:
        source: returns the raw splits; reads files only when called.
        shape: of one example, e.g. (1, 28, 28).
        num_levels: grey levels of the source, or null where its values are real.
        binarize: none | threshold | fixed | dynamic.
        dequantize: add uniform noise to the levels, for densities over continuous values; real values stay as they are.
        noise_seed: seed of the fixed draws.
        num_classes: of the labels, or null where there are none.
        num_labels: training labels that may be used, as many of each class; null for all of them.
        label_seed: seed of their choice, apart from all others.
        standardize: none | columns (each element has its own scale) | global (one scale for all) | null: columns for
            real values with one axis, else none. Mean and scale are those of the training split; all densities stay
            in the data's own units. Grey levels have a scale already: global leaves them as they are.
        corrupt: what hides or distorts all examples, those of evaluation too; null for nothing. NaN in real values is a
            missing value without it.
        corrupt_seed: seed of its draws, one for each example.
        name: stands in the results.

    Attributes:
        notes: lines for the log about the data, once they are loaded.
        preprocessing: how a model of these data sees them, once they are loaded.

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
    ):
        if num_labels is not None and (num_classes is None or num_labels < 1 or num_labels % num_classes):
            raise ValueError(
                f"num_labels = {num_labels} must be a positive multiple of num_classes = {num_classes}, or null"
                if num_classes
                else f"num_labels = {num_labels}: the data have no labels: set num_labels=null"
            )
        if binarize != "none" and dequantize:
            raise ValueError("binarize and dequantize exclude each other: set one of binarize=none, dequantize=false")
        if num_levels is None and binarize != "none":
            raise ValueError("real-valued data have no grey levels to binarise: set binarize=none")
        if num_levels is not None and standardize == "columns":
            raise ValueError("grey levels have a scale already: set standardize=none")
        if num_levels is None and standardize is None:
            standardize = "columns" if len(shape) == 1 else "none"
        self.standardize = "none" if num_levels is not None or standardize is None else standardize
        self.name, self.shape, self.num_levels = name, tuple(shape), num_levels
        self.binarize, self.noise_seed = binarize, noise_seed
        self.dequantize = dequantize and num_levels is not None
        self.num_classes, self.num_labels, self.label_seed = num_classes, num_labels, label_seed
        self.corrupt, self.corrupt_seed = corrupt, corrupt_seed
        self._source, self._about = source, ""
        self._num_valid: int | None = None
        self.notes: tuple[str, ...] = ()
        self.preprocessing = UNCHANGED
        if corrupt:
            corrupt.check(self.shape)
        if corrupt and self.kind not in corrupt.takes:
            raise ValueError(
                f"corrupt: {type(corrupt).__name__} takes {' or '.join(corrupt.takes)} data, and binarize={binarize}, "
                f"dequantize={str(dequantize).lower()} give {self.kind}: set these, or choose another dataset/corrupt"
            )

    @property
    def kind(self) -> str:
        """What the model sees: `binary`, `levels` (k / (num_levels - 1)) or `continuous`."""
        if self.binarize != "none" or (self.num_levels == 2 and not self.dequantize):
            return "binary"
        return "levels" if self.num_levels and not self.dequantize else "continuous"

    @property
    def protocol(self) -> str:
        """The protocol in words, as it stands beside every likelihood."""
        if self.corrupt is None:
            return self._protocol + self._about
        corruption_noise = "" if isinstance(self.corrupt, MissingValues) else f", drawn with seed {self.corrupt_seed}"
        return f"{self._protocol}{self._about}; seen through {self.corrupt}{corruption_noise}"

    @property
    def _protocol(self) -> str:
        if self.dequantize:
            return f"none (uniform dequantisation, test noise drawn once with {self._noise})"
        if self.binarize == "none" and self.kind == "binary":
            return "none (the data are binary)"
        if self.binarize in ("none", "threshold"):
            return self.binarize
        train = "training pixels fixed as well" if self.binarize == "fixed" else "training pixels redrawn"
        return f"{self.binarize} (test pixels drawn once with {self._noise}, {train})"

    @property
    def _noise(self) -> str:
        """What the noise of the test examples depends on: that of the validation examples comes before it."""
        before = "" if self._num_valid is None else f" after num_valid={self._num_valid} validation examples"
        return f"seed {self.noise_seed}{before}"

    def adopt_protocol(self, of: "Dataset") -> None:
        """Binarises, dequantises and draws evaluation noise as another data set does, to be compared with it."""
        self.binarize, self.dequantize, self.noise_seed = of.binarize, of.dequantize, of.noise_seed

    def load(self, device: torch.device | str = "cpu") -> "LoadedDataset":
        """Reads the source and prepares the splits on `device`."""
        splits, notes = self._conform(self._source())
        for name in NAMES:
            self._check(getattr(splits, name), name)
        notes += self._describe(splits)
        self._learn(splits)
        generator = torch.Generator().manual_seed(self.noise_seed)
        prepared = {}
        for name in ("valid", "test", "train"):  # evaluation sets do not depend on the size of train
            split = getattr(splits, name)
            prepared[name] = self._corrupted(self._prepare(split, name == "train", generator), name)
            if split.y is not None and self.num_classes is not None:
                prepared[name].labelled = self._labelled(split.y, name)
        prepared = {name: examples.to(torch.device(device)) for name, examples in prepared.items()}
        digests = (f"md5 {digest(splits)}",) if self._is_users_own else ()
        self._about = "".join(f"; {each}" for each in (*digests, splits.about) if each)
        self._num_valid = len(prepared["valid"])
        self.notes = (*splits.notes, *notes)
        return LoadedDataset(self, **prepared)

    @property
    def _is_users_own(self) -> bool:
        return getattr(self._source, "is_users_own", False)

    def _conform(self, splits: RawSplits) -> tuple[RawSplits, list[str]]:
        """Brings the splits to the declared shape and levels; lines for the log."""
        splits, notes = conform_shapes(splits, self.shape, self.name)
        if self.num_levels is None:
            return splits, notes
        splits, more = conform_levels(splits, self.num_levels, self.name)
        return splits, [*notes, *more]

    def _describe(self, splits: RawSplits) -> list[str]:
        """Looks at a user's own values: lines for the log."""
        train = self._checked(splits.train.x)
        if not self._is_users_own:
            return []
        if self.num_levels is not None:
            return check_levels(train, self.num_levels, self.name)
        values = {name: self._checked(getattr(splits, name).x) for name in NAMES}
        notes = describe_missing(values, self.name) + describe_constant(train, self.name)
        if self.standardize != "none":
            how = {"columns": "each column by its own scale", "global": "all columns by one scale"}[self.standardize]
            return [*notes, f"{self.name}: standardised, {how}; densities are in the units of the data"]
        refuse_rounding(train, self.name)
        return notes + advise_standardizing(train, self.name)

    def _learn(self, splits: RawSplits) -> None:
        """Takes from the data how a model sees them: units, and whether values are missing."""
        has_missing = self.num_levels is None and any(_holds(self._checked(each.x), torch.isnan) for each in splits)
        if has_missing and self.corrupt and not isinstance(self.corrupt, Missing):
            raise DataError(
                f"dataset/corrupt: {self.name} has missing values (NaN), which {type(self.corrupt).__name__} cannot "
                "be added to: choose one of missing_at_random, missing_rows, missing_half, missing_block, or drop it"
            )
        if has_missing and not self.corrupt:
            self.corrupt = MissingValues()
        standardization = None
        if self.standardize != "none":
            train = splits.train.stored
            standardization = Standardization.fit(lambda: train.split(ROWS), self.standardize)
        self.preprocessing = Preprocessing(standardization, has_missing)

    def _checked(self, x: Tensor | OnDisk) -> Tensor:
        """All values, or the first ones of a file."""
        return x.x[: max(1, CHECKED // math.prod(self.shape))] if isinstance(x, OnDisk) else x

    def _corrupted(self, examples: DataSplit, name: str) -> DataSplit:
        examples.corrupt = self.corrupt
        if self.corrupt and not examples.disk:  # what stays on the disk has no holes but its own
            generator = torch.Generator().manual_seed(rng.key(self.corrupt_seed, name))
            examples.corruption_noise = self.corrupt.draw(len(examples), self.shape, generator)
            if self.preprocessing.has_missing_values:
                examples.corruption_noise = examples.corruption_noise | examples.x.isnan()
        return examples

    def _labelled(self, y: Tensor, name: str) -> Tensor:
        """Positions of the examples whose labels may be used; -1 is no label."""
        if name == "train" and self.num_labels is not None:
            return self._balanced(y)
        return (y >= 0).nonzero().flatten()

    def _balanced(self, y: Tensor) -> Tensor:
        """Positions of as many random examples of each class, in their order."""
        assert self.num_labels is not None
        assert self.num_classes is not None
        generator, each = torch.Generator().manual_seed(self.label_seed), self.num_labels // self.num_classes
        order = torch.randperm(len(y), generator=generator)
        chosen = []
        for k in range(self.num_classes):
            of_class = order[y[order] == k]
            if len(of_class) < each:
                raise DataError(
                    f"dataset.num_labels: {self.num_labels} want {each} of each class, and class {k} of {self.name} "
                    f"has {len(of_class)}: ask for fewer"
                )
            chosen.append(of_class[:each])
        return torch.cat(chosen).sort().values

    def _check(self, split: RawSplit, name: str) -> None:
        stays = isinstance(split.x, OnDisk)
        stored = split.stored
        if len(stored) == 0:
            raise DataError(f"dataset: the {name} split of {self.name} is empty")
        if stays and (self.binarize == "fixed" or self.corrupt):
            raise DataError(
                "dataset: examples that stay on the disk cannot be changed once for all: set dataset.binarize=dynamic, "
                "threshold or none, and dataset.corrupt=null"
            )
        if split.y is not None and len(split.y) != len(stored):
            raise DataError(f"dataset: {self.name} has {len(stored)} {name} examples and {len(split.y)} labels")
        if self.num_classes is not None:
            if split.y is None:
                raise DataError(f"dataset.num_classes: the {name} split of {self.name} has no labels: set it to null")
            if not -1 <= int(split.y.min()) <= int(split.y.max()) < self.num_classes:
                raise DataError(
                    f"dataset.num_classes: {self.num_classes} declared, but {self.name} has labels from "
                    f"{int(split.y.min())} to {int(split.y.max())}; -1 is no label"
                )
            if name == "train" and int(split.y.max()) < 0:
                raise DataError(f"dataset.num_classes: no training example of {self.name} has a label: set it to null")
        x = self._checked(split.x)
        if self.num_levels is None:
            if x.dtype == torch.uint8:
                raise DataError(
                    f"dataset.num_levels: {self.name} holds integers, which are grey levels: set "
                    "dataset.num_levels=256, or save them as floats, x.astype(float), if they are numbers"
                )
            if _holds(x, torch.isinf):
                raise DataError(f"dataset: the {name} split of {self.name} holds infinite values: remove them")
            if bool(x.isnan().all()):
                raise DataError(f"dataset: all values of the {name} split of {self.name} are missing (NaN)")
        elif x.dtype != torch.uint8:
            raise DataError(f"dataset.num_levels={self.num_levels}: {self.name} holds real values: set it to null")
        elif int(x.max()) >= self.num_levels:
            top, used = int(x.max()), x.unique().tolist() if self.num_levels == 2 else []
            fix = f"dataset.num_levels={256 if top > 127 else top + 1}"
            fix += " dataset.binarize=threshold" if used in ([0, top], [top]) else ""
            found = f"{self.num_levels} levels declared, but {self.name} has values up to {top}"
            raise DataError(f"dataset.num_levels: {found}: set {fix}")

    def _prepare(self, split: RawSplit, training: bool, generator: torch.Generator) -> DataSplit:
        if isinstance(split.x, OnDisk):
            return self._streamed(split.x, split.y)
        x, levels = split.x, self.num_levels
        if levels is None:
            standardize = self.preprocessing.standardization
            x = to_float(standardize(x) if standardize else x)
            return DataSplit(x, split.y, to_float, log_p=self._truth(split), standardization=standardize)
        if self.dequantize:
            width = -math.log(levels)
            if training:
                return DataSplit(x, split.y, partial(bz.dequantize, num_levels=levels), width)
            return DataSplit(bz.dequantize(x, levels, generator), split.y, to_float, width)
        if self.binarize == "dynamic" and training:
            return DataSplit(x, split.y, partial(_dynamic, num_levels=levels))
        if self.binarize == "threshold":
            return DataSplit(bz.threshold(x, levels), split.y, to_float)
        if self.binarize in ("fixed", "dynamic"):
            return DataSplit(bz.sample(x, levels, generator), split.y, to_float)
        return DataSplit(x, split.y, partial(bz.intensities, num_levels=levels), log_p=self._truth(split))

    def _truth(self, split: RawSplit) -> Tensor | None:
        return None if self.corrupt else split.log_p  # of the values, not of what is seen of them

    def _streamed(self, disk: OnDisk, y: Tensor | None) -> DataSplit:
        """Training examples that are read, and prepared, batch by batch."""
        levels = self.num_levels
        width = -math.log(levels) if levels is not None and self.dequantize else 0.0
        if levels is None:
            prepare = partial(_standardized, standardization=self.preprocessing.standardization)
        elif self.dequantize:
            prepare = partial(bz.dequantize, num_levels=levels)
        else:
            how = {"none": bz.intensities, "threshold": _thresholded, "dynamic": _dynamic}[self.binarize]
            prepare = partial(how, num_levels=levels)
        return DataSplit(disk.x, y, prepare, width, disk=disk, standardization=self.preprocessing.standardization)


def _holds(x: Tensor, predicate: Callable[[Tensor], Tensor]) -> bool:
    """Whether any value of a tensor, which may be mapped, satisfies a predicate."""
    return any(bool(predicate(part).any()) for part in x.split(ROWS))


class DataDescription(Protocol):
    """What a data set tells of its examples, be they images, vectors or sentences; the terms are those of `Dataset`."""

    name: str
    shape: tuple[int, ...]
    num_levels: int | None
    num_classes: int | None
    corrupt: Corruption | None
    notes: tuple[str, ...]
    preprocessing: Preprocessing

    @property
    def kind(self) -> str: ...
    @property
    def protocol(self) -> str: ...


class LoadedDataset:
    """The prepared splits of `protocol`, resident on one device."""

    def __init__(self, protocol: DataDescription, train: DataSplit, valid: DataSplit, test: DataSplit):
        self.dataset, self.train, self.valid, self.test = protocol, train, valid, test


def to_float(values: Tensor) -> Tensor:
    return values.to(torch.get_default_dtype())


def _standardized(values: Tensor, standardization: Standardization | None) -> Tensor:
    return to_float(standardization(values) if standardization else values)


def _thresholded(levels: Tensor, num_levels: int) -> Tensor:
    return to_float(bz.threshold(levels, num_levels))


def _dynamic(levels: Tensor, num_levels: int) -> Tensor:
    return rng.bernoulli(bz.intensities(levels, num_levels))
