"""Preprocessing of the training data, kept in the run folder: units and missing values."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dgm_run.data.standardize import Standardization

FILE = "preprocessing.json"


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing between the data and the model.

    Args:
        standardization: units of the model's input; None for those of the data.
        has_missing_values: whether NaN marks missing values.
    """

    standardization: Standardization | None = None
    has_missing_values: bool = False

    def restore(self, x: Tensor) -> Tensor:
        """Converts samples of the model, (N, *shape), to the units of the data."""
        return x if self.standardization is None else self.standardization.restore(x)

    def write(self, folder: Path) -> None:
        """Writes preprocessing.json, unless the data are unchanged and complete."""
        if self.standardization is None and not self.has_missing_values:
            return
        standardization = self.standardization and self.standardization.state()
        state = {"standardization": standardization, "has_missing_values": self.has_missing_values}
        (folder / FILE).write_text(json.dumps(state))

    @classmethod
    def read(cls, folder: Path) -> "Preprocessing":
        """Reads preprocessing.json from a run folder; without the file the data are unchanged and complete.

        Raises:
            OSError, ValueError, KeyError, TypeError: the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        state: dict[str, Any] = json.loads(path.read_text())
        standardization = state["standardization"] and Standardization.from_state(state["standardization"])
        return cls(standardization, bool(state["has_missing_values"]))


UNCHANGED = Preprocessing()
"""Preprocessing that leaves complete data in their own units."""
