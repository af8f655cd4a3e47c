"""Reads MATLAB files, in which several data sets are published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dgm_run.data.download import format_error
from dgm_run.errors import DataError


def read_mat(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """Reads the arrays `keys` of a MATLAB file, in this order.

    Raises:
        DataError: the file is no MATLAB file, is damaged, or lacks an array.
    """
    from scipy.io import loadmat

    try:
        contents = loadmat(path, variable_names=list(keys))
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise DataError(f"{path}: cannot be read as a MATLAB file ({format_error(error)})") from None
    missing = [key for key in keys if key not in contents]
    if missing:
        raise DataError(f"{path}: has no array {', '.join(missing)}")
    return [contents[key] for key in keys]
