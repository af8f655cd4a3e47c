"""Data sets that are tables, with columns of several kinds."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from dgm_run.data.columns import (
    Column,
    Kind,
    describe_kinds,
    encode_rows,
    find_kind,
    list_columns,
    list_some,
    read_columns,
    select_positions,
    split_units,
)
from dgm_run.data.conform import BLOCK_SIZE, NAMES
from dgm_run.data.corruptions import Corruption
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import Dataset
from dgm_run.data.describe import describe_missing
from dgm_run.data.guess_columns import Choice, RawColumn, choose_label, describe_left_out, guess_columns
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.split import RawSplit, RawSplits, split_examples
from dgm_run.data.standardize import Standardization
from dgm_run.errors import DataError

FOLLOWING_KEYS = ("columns", "shape", "label_column", "num_classes")
"""Settings of a data set that follow from its table; a model keeps them for other tables."""


@dataclass(frozen=True, kw_only=True)
class TableSource(ABC):
    """Source of a table. It is split into training, validation and test rows.

    Args:
        columns: plain values of the columns that a model sees, from `guess`.
        label_column: plain values of the column whose values are the labels, from `guess_label`; null for none.
        kinds: kinds of columns by their names, in the place of guesses: real | count | binary | categorical | drop.
            Null for none.
        label: name of the column whose values are the labels, which is no feature then; null for none.
        use: kinds of the columns to keep; null for all.
        one_hot: whether each value of a categorical column is a binary column of its own.
        num_valid: rows for validation; null for a tenth, at most 1,000.
        num_test: rows for the test set, as `num_valid`.
        split_seed: seed of the shuffle before the split; null keeps the order and takes the last rows.
    """

    columns: Sequence[Mapping[str, Any]]
    label_column: Mapping[str, Any] | None
    kinds: Mapping[str, Choice] | None
    label: str | None
    use: Sequence[Kind] | None
    one_hot: bool
    num_valid: int | None
    num_test: int | None
    split_seed: int | None

    @abstractmethod
    def read(self) -> list[RawColumn]:
        """Reads the table."""

    def guess(self) -> dict[str, Any]:
        """Returns the settings of the data set that follow from the table: its columns, and those of its labels."""
        table = self.read()
        kinds = dict(self.kinds or {})
        found: dict[str, Any] = {}
        if self.label is not None:
            label = choose_label(table, self.label, kinds.pop(self.label, None))
            found = {"label_column": label.state(), "num_classes": label.num_codes}
            table = [raw for raw in table if raw.name != self.label]
        columns = guess_columns(table, kinds, self.use)
        states = [column.state() for column in (split_units(columns) if self.one_hot else columns)]
        return {"columns": states, "shape": [len(states)], **found}

    def __call__(self) -> RawSplits:
        table = self.read()
        columns = read_columns(self.columns)
        x = encode_table(columns, table)
        label = None if self.label_column is None else Column.from_state(self.label_column)
        y = None if label is None else encode_table([label], table)[:, 0].nan_to_num(-1).long()
        if self.split_seed is not None:
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.split_seed))
            x = x[order]
            y = None if y is None else y[order]
        splits = split_examples(x, y, self.num_valid, self.num_test)
        left_out = describe_left_out(table, [*columns, *([] if label is None else [label])])
        notes = (f"columns left out: {left_out}",) if left_out else ()
        labels = "" if label is None else f"; labels: {label.name}"
        return replace(splits, about=f"columns: {describe_kinds(columns)}{labels}", notes=notes)


def encode_table(columns: Sequence[Column], table: Sequence[RawColumn]) -> Tensor:
    """Converts a table to rows of numbers and codes, (N, D), in the order of the model's columns.

    Args:
        columns: columns that the model sees.
        table: columns of the table, in any order.

    Raises:
        DataError: the table lacks a column, or a cell is of another kind.
    """
    cells = {raw.name: raw.cells for raw in table}
    for column in columns:
        if column.name not in cells:
            raise DataError(
                f"dataset: the table has no column {column.name}, which the model takes: name it so, or start a new run"
            )
    return encode_rows(columns, cells)


class TableDataset(Dataset):
    """Table: rows are examples, (D,), with a number or a code for each column. Real columns are standardised.

    Densities are in the units of the data: a density of real columns, a probability of all others.

    Args:
        source: returns the raw splits; reads the table only when called.
        name: name in the results.
        columns: plain values of the columns; `complete` fills them in.
        shape: (D,); `complete` fills it in.
        label_column: plain values of the column of labels; `complete` fills it in; null for none.
        num_classes: number of its values; `complete` fills it in; null for none.
        num_labels: number of labelled training rows, equally many of each class; null for all.
        label_seed: seed of the choice of labels.
        binarize: none; columns have kinds instead.
        dequantize: has no effect; models of real values set it for images.
        standardize: scales of the real columns: columns (each has its own) | global (one for all of them).
        corrupt: missing cells beside those of the table; null for none.
        corrupt_seed: seed of the missing cells.
    """

    def __init__(
        self,
        source: TableSource,
        name: str,
        columns: Sequence[Mapping[str, Any]],
        shape: Sequence[int],
        label_column: Mapping[str, Any] | None,
        num_classes: int | None,
        num_labels: int | None,
        label_seed: int,
        binarize: Literal["none"],
        dequantize: bool,
        standardize: Literal["columns", "global"],
        corrupt: Corruption | None,
        corrupt_seed: int,
    ):
        self.columns = read_columns(columns)
        self.label_column = None if label_column is None else Column.from_state(label_column)
        self.source = source
        labels = (num_classes, num_labels, label_seed)
        super().__init__(
            *(source, name, shape, None, binarize, dequantize, 0, *labels, standardize, corrupt, corrupt_seed, None)
        )

    @staticmethod
    def complete(source: TableSource) -> dict[str, Any]:
        """Returns the settings that follow from the table; none if they are known already."""
        return {} if source.columns else source.guess()

    @property
    def kind(self) -> str:
        """Kind of the model's input: `continuous` or `binary` where all columns are so, else `mixed`."""
        return find_kind(self.columns)

    def prepare_split(self, split: RawSplit, is_training: bool, generator: torch.Generator) -> DataSplit:
        prepared = super().prepare_split(split, is_training, generator)
        prepared.columns = self.columns
        return prepared

    def _describe(self, splits: RawSplits, given: Preprocessing | None) -> list[str]:
        values = {name: getattr(splits, name).x for name in NAMES}
        has_real = bool(select_positions(self.columns, "real"))
        change = "to change a kind: 'dataset.source.kinds={NAME: KIND}'; to select columns: dataset.source.use=[real]"
        return [
            f"{self.name}: {list_columns(self.columns)}",
            *(() if self.label_column is None else (self._describe_label(self.label_column),)),
            *((change,) if self._is_users_own and given is None else ()),
            *describe_missing(values, self.name),
            *(
                (f"{self.name}: real columns are standardised; densities are in the units of the data",)
                if has_real
                else ()
            ),
        ]

    def _describe_label(self, label: Column) -> str:
        return f"{self.name}: labels: {label.name}, {label.num_codes} classes: {list_some(label.values)}"

    def _fit_standardization(self, train: Tensor) -> Standardization | None:
        """Fits mean and scale of the real columns; all others keep mean 0 and scale 1."""
        reals = select_positions(self.columns, "real")
        if not reals:
            return None
        assert self.standardize != "none"
        fitted = Standardization.fit(lambda: (x[:, reals] for x in train.split(BLOCK_SIZE)), self.standardize)
        mean = torch.zeros(len(self.columns), dtype=torch.float64)
        scale = torch.ones(len(self.columns), dtype=torch.float64)
        mean[reals] = fitted.mean
        scale[reals] = fitted.scale
        return Standardization(mean, scale)
