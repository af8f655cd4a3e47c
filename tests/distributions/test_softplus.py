import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from dgm_run.distributions.softplus import sum_softplus


def sum_in_double(x):
    return torch.logaddexp(x.double(), torch.zeros((), dtype=torch.float64)).sum(-1)


@pytest.mark.parametrize("dim", [0, 1, 99, 100, 101, 500, 784, 997])
def test_sum_agrees_with_double_precision(dim):
    x = 5 * torch.randn(3, 20, dim)
    exact = sum_in_double(x)
    assert sum_softplus(x).dtype == torch.float32
    assert sum_softplus(x).double() == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert sum_softplus(x.double()) == pytest.approx(exact, rel=1e-13, abs=1e-13)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-30, 88.0, -88.0, 1e30, -1e30, torch.inf, -torch.inf])
def test_extreme_values_neither_overflow_nor_underflow(value):
    x = torch.full((2, 784), value)
    assert torch.equal(sum_softplus(x).isfinite(), sum_in_double(x).isfinite())
    assert sum_softplus(x).double() == pytest.approx(sum_in_double(x), rel=1e-6)


def test_missing_values_stay_missing():
    assert sum_softplus(torch.tensor([[0.0, torch.nan], [0.0, 1.0]])).isnan().tolist() == [True, False]


def test_half_precision_is_summed_in_single():
    x = torch.randn(4, 500).bfloat16()
    assert sum_softplus(x).dtype == torch.float32
    assert sum_softplus(x).double() == pytest.approx(sum_in_double(x), rel=1e-6)


def test_gradients_of_first_and_second_order(double):
    x = (3 * torch.randn(2, 130)).requires_grad_()
    assert gradcheck(sum_softplus, x)
    assert gradgradcheck(sum_softplus, x)
    assert torch.allclose(torch.autograd.grad(sum_softplus(x).sum(), x)[0], x.sigmoid(), rtol=1e-12)
