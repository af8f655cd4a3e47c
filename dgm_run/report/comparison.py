"""The comparison of the runs in a folder: their groups and tables, from which every form of the report is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgm_run.errors import UserError
from dgm_run.report.estimator_seeds import EstimatorSeeds, compare_seeds, pool_seeds
from dgm_run.report.groups import Group, group_runs, split_repeated
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run, collect_runs
from dgm_run.report.tables import EstimateSpec, make_tables


@dataclass(frozen=True)
class Comparison:
    """Runs of a folder, grouped and compared.

    Attributes:
        folder: the folder.
        groups: finished runs, grouped by configuration.
        tables: rows of each specification, the best first.
        others: runs without results, and repeated runs.
    """

    folder: Path
    groups: Sequence[Group]
    tables: Sequence[tuple[EstimateSpec, list[Row]]]
    others: Sequence[Run]

    @property
    def runs(self) -> list[Run]:
        """Finished runs that are compared."""
        return [run for group in self.groups for run in group.runs]


def compare_runs(folder: Path, estimator_seeds: EstimatorSeeds = "separate") -> Comparison:
    """Compares the runs in a folder and below it.

    Args:
        folder: a folder with runs in it or below it.
        estimator_seeds: treatment of evaluations of one run that differ by the seed of the estimator. `separate` gives
            each a table, as for any other settings; `pool` takes their mean; `compare` adds a table with a row for
            each.

    Raises:
        UserError: the folder has no run.
    """
    runs = collect_runs(folder)
    if not runs:
        raise UserError(f"{folder}: there is no run in it, or below")
    kept, repeated = split_repeated([run for run in runs if run.state == "finished"])
    if estimator_seeds == "pool":
        kept = [pool_seeds(run) for run in kept]
    unfinished = [run for run in runs if run.state != "finished"]
    groups = group_runs(kept, unfinished)
    tables = list(make_tables(groups))
    if estimator_seeds == "compare":
        tables += compare_seeds(groups)
    return Comparison(folder, groups, tables, [*repeated, *unfinished])
