import pytest
import torch
from torch import nn

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.errors import ConfigError
from dgm_run.trainers.initialize import MAX_EXAMPLES, initialize


class Part(nn.Module):
    def __init__(self, error=None):
        super().__init__()
        self.seen, self.error = None, error

    def initialize(self, x):
        self.seen = x
        if self.error:
            raise ValueError(self.error)


def test_outer_part_initializes_inner_ones():
    outer = Part()
    outer.inner = Part()
    model = nn.Sequential(nn.Linear(1, 1), outer)
    train = DataSplit(torch.arange(MAX_EXAMPLES + 50).unsqueeze(1), None, to_float)
    initialize(model, train)
    assert outer.seen.shape == (MAX_EXAMPLES, 1)
    assert len(outer.seen.unique()) == MAX_EXAMPLES
    assert outer.inner.seen is None


def test_what_a_part_refuses_is_one_line():
    with pytest.raises(ConfigError, match="too few"):
        initialize(Part("too few"), DataSplit(torch.zeros(3, 1), None, to_float))
