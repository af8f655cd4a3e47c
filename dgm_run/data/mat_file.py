"""MATLAB files, as several data sets of the field are published."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dgm_run.data.download import one_line
from dgm_run.errors import DataError


def read_mat(path: Path, keys: Sequence[str]) -> list[np.ndarray]:
    """The arrays `keys` of a MATLAB file, in this order.

    Raises:
        DataError: not a MATLAB file, a damaged one, or one without these arrays.
    """
    from scipy.io import loadmat

    try:
        contents = loadmat(path, variable_names=list(keys))
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise DataError(f"{path}: cannot be read as a MATLAB file ({one_line(error)})") from None
    absent = [key for key in keys if key not in contents]
    if absent:
        raise DataError(f"{path}: has no array {', '.join(absent)}")
    return [contents[key] for key in keys]
