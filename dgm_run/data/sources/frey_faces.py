"""Frey faces: 1,965 frames of one man's face from a video, 28x20 pixels with 256 grey levels.

B. Frey and S. Roweis, https://cs.nyu.edu/~roweis/data.html
"""

import torch

from dgm_run.data.download import RemoteFile, require
from dgm_run.data.mat_file import read_mat
from dgm_run.data.split import RawSplits, split_examples
from dgm_run.errors import DataError

FILE = RemoteFile(
    "frey_faces/frey_rawface.mat",
    "https://cs.nyu.edu/~roweis/data/frey_rawface.mat",
    checksum=None,
    max_bytes=5_000_000,
)


class FreyFaces:
    """Frey faces, shuffled under `split_seed`. Successive frames are alike, so test frames resemble training frames.

    Args:
        data_dir: folder that holds `frey_faces/frey_rawface.mat`.
        num_valid: frames for validation; 200 in Tomczak & Welling 2018, https://arxiv.org/abs/1705.07120.
        num_test: frames for the test set; 200 there.
        split_seed: seed of the shuffle.
        download: whether to download a missing file.
    """

    def __init__(self, data_dir: str, num_valid: int, num_test: int, split_seed: int, download: bool):
        self.data_dir = data_dir
        self.download = download
        self.num_valid = num_valid
        self.num_test = num_test
        self.split_seed = split_seed

    def __call__(self) -> RawSplits:
        (path,) = require("Frey faces", self.data_dir, [FILE], self.download)
        (faces,) = read_mat(path, ["ff"])  # (560, N), each face row by row
        if faces.shape[0] != 560 or faces.dtype != "uint8":
            found = f"{list(faces.shape)} of {faces.dtype}"
            raise DataError(f"{path}: ff is {found} instead of 560 x N bytes; remove it to fetch it again")
        order = torch.randperm(faces.shape[1], generator=torch.Generator().manual_seed(self.split_seed))
        x = torch.from_numpy(faces).T.reshape(-1, 1, 28, 20)[order]
        return split_examples(x, None, self.num_valid, self.num_test)
