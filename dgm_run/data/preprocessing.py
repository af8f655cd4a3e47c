"""What a model has to know of the data it was trained on, kept in its run folder: units and missing values."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dgm_run.data.standardize import Standardization

FILE = "preprocessing.json"


@dataclass(frozen=True)
class Preprocessing:
    """How a model sees data.

    Args:
        standardization: the units; None for those of the data.
        has_missing_values: whether NaN stands for values that are not observed.
    """

    standardization: Standardization | None = None
    has_missing_values: bool = False

    def restore(self, x: Tensor) -> Tensor:
        """Returns what a model has drawn, (N, *shape), in the units of the data."""
        return x if self.standardization is None else self.standardization.restore(x)

    def write(self, folder: Path) -> None:
        """Writes preprocessing.json, unless there is nothing to know."""
        if self.standardization is None and not self.has_missing_values:
            return
        standardization = self.standardization and self.standardization.state()
        state = {"standardization": standardization, "has_missing_values": self.has_missing_values}
        (folder / FILE).write_text(json.dumps(state))

    @classmethod
    def read(cls, folder: Path) -> "Preprocessing":
        """Reads what `write` has left in a run folder.

        Raises:
            OSError, ValueError, KeyError, TypeError: the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        state: dict[str, Any] = json.loads(path.read_text())
        standardization = state["standardization"] and Standardization.of_state(state["standardization"])
        return cls(standardization, bool(state["has_missing_values"]))


UNCHANGED = Preprocessing()
"""A model that sees complete data in their own units."""
