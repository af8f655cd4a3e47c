"""The comparison as a data frame of pandas."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dgm_run.errors import UserError
from dgm_run.report.comparison import compare_runs
from dgm_run.report.estimator_seeds import EstimatorSeeds
from dgm_run.report.records import make_records

if TYPE_CHECKING:
    import pandas


def results(folder: str | os.PathLike, estimator_seeds: EstimatorSeeds = "separate") -> "pandas.DataFrame":
    """Returns the numbers of all runs in a folder and below it, as `dgm-report FOLDER --csv` writes them.

    Args:
        folder: a folder with runs in it or below it.
        estimator_seeds: treatment of estimator seeds, as in `compare_runs`.

    Returns:
        A frame with a row for each run and quantity.

    Raises:
        UserError: pandas is not installed, the folder does not exist, or it has no run.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("dgm_run.results needs pandas: pip install 'dgm-run[pandas]'") from None
    if not Path(folder).is_dir():
        raise UserError(f"there is no folder {folder}: name one with runs in it or below it")
    return pandas.DataFrame(make_records(compare_runs(Path(folder), estimator_seeds)))
