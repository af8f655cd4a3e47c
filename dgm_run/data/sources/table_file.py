"""Table of the user, in a .csv, .tsv or .parquet file."""

from dataclasses import dataclass
from pathlib import Path

from dgm_run.data.guess_columns import RawColumn
from dgm_run.data.table import TableSource
from dgm_run.data.table_file import read_table


@dataclass(frozen=True, kw_only=True)
class TableFile(TableSource):
    """Table in a file whose first row names the columns.

    Args:
        path: path of the file.
        columns, label_column, kinds, label, use, one_hot, num_valid, num_test, split_seed: arguments of
            `TableSource`.
    """

    is_users_own = True  # the file may change from one run to the next

    path: str

    def read(self) -> list[RawColumn]:
        return read_table(Path(self.path).expanduser().resolve())
