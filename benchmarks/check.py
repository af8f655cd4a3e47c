"""Checks that no line of the benchmark has become slower, against ratios that were saved."""

import json
from pathlib import Path

from benchmarks.table import BARE, DECODER, GEMMS, PLAIN, REFERENCES, Ratios

SAVED = Path(__file__).parent / "ratios.json"
SLOWER = 0.85
"""Share of its saved ratio below which a line is reported."""
LIMITS = [heading for heading, name in REFERENCES.items() if name in (GEMMS, DECODER, PLAIN)]
"""Columns that are compared: against the limit or the plain loop of the same run, no other library."""


def read_saved() -> dict[str, float]:
    """Reads the saved ratios; none if there is no file."""
    return json.loads(SAVED.read_text()) if SAVED.exists() else {}


def save(tables: dict[str, Ratios]) -> None:
    """Writes the ratios of this run for later checks; saved ratios of other lines stay."""
    SAVED.write_text(json.dumps(read_saved() | _select(tables), indent=1, sort_keys=True) + "\n")


def find_slower(tables: dict[str, Ratios]) -> list[str]:
    """Returns one line for each ratio that is below `SLOWER` times the saved one.

    Raises:
        ValueError: no ratio of this run was saved before.
    """
    saved = read_saved()
    compared = {key: ratio for key, ratio in _select(tables).items() if key in saved}
    if not compared:
        raise ValueError("no line of this run has a saved ratio: measure these questions with --save first")
    return [
        f"{key}: {ratio:.2f}, saved {saved[key]:.2f}" for key, ratio in compared.items() if ratio < SLOWER * saved[key]
    ]


def _select(tables: dict[str, Ratios]) -> dict[str, float]:
    """Returns the ratios of dgm-run's own lines to a limit, by question, line and column."""
    return {
        f"{question}, {name}, {heading}": round(ratio, 3)
        for question, table in tables.items()
        for name, row in table.items()
        for heading, ratio in row.items()
        if heading in LIMITS and (name.startswith("dgm-run") and name != BARE)
    }
