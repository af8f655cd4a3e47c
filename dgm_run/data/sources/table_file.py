"""Table of the user, in a .csv, .tsv or .parquet file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dgm_run.data.columns import Kind
from dgm_run.data.guess_columns import Choice, RawColumn
from dgm_run.data.table import TableSource
from dgm_run.data.table_file import read_table


class TableFile(TableSource):
    """Table in a file whose first row names the columns.

    Args:
        path: path of the file.
        columns, kinds, use, one_hot, num_valid, num_test, split_seed: arguments of `TableSource`.
    """

    is_users_own = True  # the file may change from one run to the next

    def __init__(
        self,
        path: str,
        columns: Sequence[Mapping[str, Any]],
        kinds: Mapping[str, Choice] | None,
        use: Sequence[Kind] | None,
        one_hot: bool,
        num_valid: int,
        num_test: int,
        split_seed: int | None,
    ):
        super().__init__(columns, kinds, use, one_hot, num_valid, num_test, split_seed)
        self.path = path

    def read(self) -> list[RawColumn]:
        return read_table(Path(self.path).expanduser().resolve())
