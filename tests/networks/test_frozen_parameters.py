import pytest
import torch
from torch import nn

from dgm_run.networks.frozen_parameters import frozen_parameters


def test_frozen_part_passes_gradients():
    part, x = nn.Linear(2, 3), torch.randn(4, 2, requires_grad=True)
    part.bias.requires_grad_(False)
    with frozen_parameters(part):
        value = part(x).sum()
    value.backward()
    assert part.weight.grad is None
    assert x.grad.abs().sum() > 0
    assert part.weight.requires_grad
    assert not part.bias.requires_grad  # as it was


def test_it_is_let_go_when_something_fails():
    part = nn.Linear(2, 3)
    with pytest.raises(ZeroDivisionError), frozen_parameters(part):
        _ = 1 / 0
    assert part.weight.requires_grad
