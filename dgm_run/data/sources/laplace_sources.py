"""Independent Laplace sources, mixed by a rotation: real values of known density, for blind source separation.

J. Melchior, PyDeep, the two-dimensional mixtures of its examples, https://pydeep.readthedocs.io
"""

import math

import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.split import RawSplits, split_examples


class LaplaceSources:
    """Mixed sources x = Q s, with Q a random rotation and s_i independent Laplace variables of variance 1: x is white.

    Args:
        dim: number of sources, and dimension of x.
        num_train, num_valid, num_test: numbers of examples.
        seed: seed of the rotation and of the draws.

    Attributes:
        mixing: Q, (dim, dim).
    """

    def __init__(self, dim: int, num_train: int, num_valid: int, num_test: int, seed: int):
        if min(dim, num_train, num_valid, num_test) < 1:
            raise ValueError(f"dim = {dim} and the numbers of examples must be positive")
        self.num_train = num_train
        self.num_valid = num_valid
        self.num_test = num_test
        self.seed = seed
        gaussian = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.mixing = torch.linalg.qr(gaussian).Q

    def __call__(self) -> RawSplits:
        num = self.num_train + self.num_valid + self.num_test
        generator = torch.Generator().manual_seed(rng.key(self.seed, "sources"))
        uniform = torch.rand(2, num, len(self.mixing), generator=generator, dtype=torch.float64)
        first, second = -torch.log1p(-uniform)  # a difference of exponentials is Laplace
        x = (first - second) / math.sqrt(2) @ self.mixing.T
        splits = split_examples(x.float(), None, self.num_valid, self.num_test)
        sizes = f"num_train={self.num_train}, num_valid={self.num_valid}, num_test={self.num_test}"
        about = f"test examples drawn with seed {self.seed} for {sizes}"
        train, valid, test = (split._replace(log_p=self.log_prob(split.stored.double())) for split in splits)
        return RawSplits(train, valid, test, about=about)

    def log_prob(self, x: Tensor) -> Tensor:
        """Computes log p(x) of points (N, dim), nats, (N,)."""
        sources = x @ self.mixing.to(x)
        return (-math.sqrt(2) * sources.abs() - 0.5 * math.log(2)).sum(-1)
