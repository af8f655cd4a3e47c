"""Encoder of a table's rows, which may have missing cells."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dgm_run.data.columns import read_columns, select_positions
from dgm_run.encoders.base import Encoder
from dgm_run.networks.mlp import Activation, mlp


class TableEncoder(Encoder):
    """Multi-layer perceptron over a row: real values, log(1 + count), -1 or 1 for two values, one-hot categories.

    The logs of counts are standardised by the training data. A missing cell gives zeros.

    Args:
        columns: plain values of the columns.
        hidden_dims: units of the hidden layers.
        activation: nonlinearity after each hidden layer.
    """

    takes = ("mixed", "binary", "continuous")
    reads_missing = True
    reals: Tensor
    counts: Tensor
    binaries: Tensor
    code_column: Tensor
    code_value: Tensor
    count_mean: Tensor
    count_scale: Tensor

    def __init__(self, columns: Sequence[Mapping[str, Any]], hidden_dims: Sequence[int], activation: Activation):
        super().__init__()
        table = read_columns(columns)
        codes = [(i, code) for i in select_positions(table, "categorical") for code in range(table[i].num_codes)]
        positions = {
            "reals": select_positions(table, "real"),
            "counts": select_positions(table, "count"),
            "binaries": select_positions(table, "binary"),
            "code_column": [column for column, _ in codes],
            "code_value": [code for _, code in codes],
        }
        for name, each in positions.items():
            self.register_buffer(name, torch.tensor(each, dtype=torch.long), persistent=False)
        self.register_buffer("count_mean", torch.zeros(len(self.counts)))
        self.register_buffer("count_scale", torch.ones(len(self.counts)))
        num_inputs = len(self.reals) + len(self.counts) + len(self.binaries) + len(codes)
        self.network = mlp(num_inputs, hidden_dims, activation)
        self.feature_dim = hidden_dims[-1] if hidden_dims else num_inputs

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Sets mean and scale of the logs of counts from training examples, (B, D)."""
        if len(self.counts):
            logs = x[:, self.counts].log1p()
            scale = logs.std(0, correction=0)
            self.count_mean.copy_(logs.mean(0))
            self.count_scale.copy_(torch.where(scale > 0, scale, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        counts = (x[..., self.counts].log1p() - self.count_mean) / self.count_scale
        numbers = torch.cat([x[..., self.reals], counts, 2 * x[..., self.binaries] - 1], -1)
        one_hot = (x[..., self.code_column] == self.code_value).to(x.dtype)  # NaN equals no code
        return self.network(torch.cat([numbers.nan_to_num(0.0), one_hot], -1))
