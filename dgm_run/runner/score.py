"""Scores files: log p(x) of each example, as a table."""

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgm_run.data.example_files import TABLE_SUFFIXES, read_examples
from dgm_run.data.table import TableDataset, encode_table
from dgm_run.data.table_file import read_table
from dgm_run.errors import DataError, join_warnings
from dgm_run.estimators.intervals import mean_and_stderr
from dgm_run.estimators.likelihood.pareto import UNRELIABLE_K
from dgm_run.runner.trained_model import LogLikelihoods, TrainedModel

NUM_LISTED = 3
"""Number of the least likely examples that the summary lists."""


class Scores(NamedTuple):
    """Scores of the examples of some files.

    Attributes:
        files: file of each example.
        names: name of each example in its file.
        found: log p(x) of all of them.
    """

    files: list[str]
    names: list[str]
    found: LogLikelihoods

    @property
    def columns(self) -> dict[str, list]:
        """Columns of the table: file, example, log_likelihood, stderr, diagnostics, flag."""
        numbers = {"log_likelihood": self.found.values, "stderr": self.found.stderr, **self.found.diagnostics}
        table: dict[str, list] = {"file": self.files, "example": self.names}
        table |= {name: values.tolist() for name, values in numbers.items()}
        return table | {"flag": self.flags}

    @property
    def flags(self) -> list[str]:
        """Reasons to distrust the number of each example; empty for none."""
        n = len(self.names)
        k = self.found.diagnostics.get("pareto_k", torch.zeros(n))
        ess = self.found.diagnostics.get("ess", torch.full((n,), torch.inf))
        samples = self.found.settings.get("num_samples", 1)
        return [
            "single draw" if samples > 1 and ess[i] < 2 else "heavy tails" if k[i] > UNRELIABLE_K else ""
            for i in range(n)
        ]


def score_files(model: TrainedModel, paths: Sequence[Path], num_samples: int | None, seed: int) -> Scores:
    """Computes log p(x) of all examples of the files.

    Raises:
        DataError: a file cannot be read, or holds data of another kind; the message names it.
    """
    files: list[str] = []
    names: list[str] = []
    found: list[LogLikelihoods] = []
    for path in paths:
        try:
            x, own_names = _read(path, model)
            found.append(model.log_likelihood(x, num_samples, seed))
        except DataError as error:
            message = str(error)
            raise DataError(message if message.startswith(str(path)) else f"{path}: {message}") from None
        files += [str(path)] * len(own_names)
        names += own_names
    return Scores(files, names, _join(found))


def _read(path: Path, model: TrainedModel) -> tuple[Any, list[str]]:
    """Reads the examples of a file and their names; the columns of a table are found by their names."""
    dataset = model.dataset
    if isinstance(dataset, TableDataset) and path.suffix.lower() in TABLE_SUFFIXES:
        x = encode_table(dataset.columns, read_table(path))
        return x, [str(i) for i in range(len(x))]
    return read_examples(path, dataset.shape, dataset.num_levels)


def _join(found: Sequence[LogLikelihoods]) -> LogLikelihoods:
    def concatenate(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts)

    return found[0]._replace(
        values=concatenate([each.values for each in found]),
        stderr=concatenate([each.stderr for each in found]),
        diagnostics={name: concatenate([each.diagnostics[name] for each in found]) for name in found[0].diagnostics},
        warning=join_warnings(*dict.fromkeys(each.warning for each in found)),
    )


def write_scores(scores: Scores, path: Path) -> list[Path]:
    """Writes the table as CSV, and as Parquet beside it where pyarrow is installed; returns the files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = scores.columns
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    if importlib.util.find_spec("pyarrow") is None:
        return [path]
    import pyarrow
    import pyarrow.parquet

    other = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), other)
    return [path, other]


def summarize_scores(scores: Scores) -> list[str]:
    """Writes lines for the user: the mean with its error, the method, flags, and the least likely examples."""
    found = scores.found
    mean, stderr = mean_and_stderr(found.values)
    error = "" if stderr is None else f" ± {stderr:.3f}"
    settings = ", ".join(f"{name}={value}" for name, value in found.settings.items())
    lines = [
        f"log p(x) of {len(scores.names)} examples: mean {mean:.3f}{error} nats ({found.kind}, {found.estimator}"
        f"{', ' + settings if settings else ''})"
    ]
    num_flagged = sum(map(bool, scores.flags))
    if num_flagged:
        lines.append(f"{num_flagged} examples are flagged: their errors may be larger than stated")
    order = found.values.argsort()[:NUM_LISTED].tolist()
    lines += [f"least likely: {scores.files[i]} {scores.names[i]}, {found.values[i]:.3f} nats" for i in order]
    return lines + [f"warning: {line}" for line in (found.warning or "").splitlines()]
