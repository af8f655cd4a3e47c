"""Table of the logged values, `metrics.csv` in the run folder."""

import csv
from collections.abc import Mapping

from dgm_run.recording.base import Logger
from dgm_run.recording.logged_run import LoggedRun

FILE = "metrics.csv"
"""Name of the table in a run folder."""


class CSVLogger(Logger):
    """Logger to a table with a row for each step and a column for each name.

    A resumed run writes the table anew, from metrics.jsonl.
    """

    def open(self, run: LoggedRun) -> Mapping[str, int]:
        self._path = run.folder / FILE
        self._columns = ["step", "epoch"]
        self._rows: list[dict[str, float]] = []
        self._write()
        return {}

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        if epoch is None:  # it would differ in every run
            return
        new_columns = [name for name in values if name not in self._columns]
        self._columns += new_columns
        if self._rows and self._rows[-1]["step"] == step:
            self._rows[-1] |= values
        else:
            self._rows.append({"step": step, "epoch": epoch} | dict(values))
            if not new_columns:
                with open(self._path, "a", newline="") as file:
                    csv.DictWriter(file, self._columns).writerow(self._rows[-1])
                return
        self._write()

    def _write(self) -> None:
        with open(self._path, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)
