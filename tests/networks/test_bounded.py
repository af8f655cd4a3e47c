import pytest
import torch

from dgm_run.networks.bounded import (
    BoundedParameter,
    add_floor,
    check_floor,
    check_interval,
    column_variance,
    describe_floor,
    noise_floor,
)


def test_start_lies_within_bounds():
    parameter = BoundedParameter(torch.tensor([0.0, -5.9, 3.0, 2.0]), (-6.0, 2.0))
    torch.testing.assert_close(parameter(), torch.tensor([0.0, -5.9, -2.0, -2.0]))
    with torch.no_grad():
        parameter.raw.copy_(torch.tensor([-20.0, 20.0, 0.0, 1.0]))
    found = parameter()
    assert (found >= -6).all()
    assert (found <= 2).all()


def test_what_was_driven_outwards_comes_back():
    parameter = BoundedParameter(torch.zeros(1), (-1.0, 1.0))
    optimizer = torch.optim.Adam(parameter.parameters(), lr=0.1)
    for sign in (-1,) * 50 + (1,) * 150:
        optimizer.zero_grad()
        (sign * parameter()).sum().backward()
        optimizer.step()
    assert parameter().item() < -0.9


def test_middle_has_unit_slope():
    parameter = BoundedParameter(torch.tensor([-2.0]), (-6.0, 2.0))
    parameter().sum().backward()
    assert parameter.raw.grad.item() == pytest.approx(1.0)


@pytest.mark.parametrize("bounds", [[2.0, -6.0], [2.0], [-6.0, 0.0, 2.0], [0.0, float("inf")], [1.0, 1.0]])
def test_an_interval_that_is_none_is_refused(bounds):
    with pytest.raises(ValueError, match="must be two finite numbers, the smaller one first"):
        check_interval(bounds)


def test_floor_is_additive():
    log_value, floor = torch.tensor([0.0, -50.0]), torch.tensor([0.5, 0.25])
    torch.testing.assert_close(add_floor(log_value, floor.log()).exp(), torch.tensor([1.5, 0.25]))
    torch.testing.assert_close(add_floor(log_value, -1e9), log_value)
    value = torch.tensor(-20.0, requires_grad=True)
    add_floor(value, torch.tensor(float("-inf"))).backward()  # no floor
    assert value.grad.item() == 1.0


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_column_variance_does_not_cancel(offset):
    x = torch.randn(500, 2, 3, dtype=torch.float64) + offset
    x[:, 1, 1] = 0.1
    found = column_variance(x)
    torch.testing.assert_close(found, (x - offset).flatten(1).var(0, correction=0), rtol=1e-9, atol=1e-24)
    assert found[4] == 0
    assert column_variance(x.float()).dtype == torch.float64


def test_a_noise_floor_has_two_parts():
    variance = torch.tensor([4.0, 0.0, 16.0], dtype=torch.float64)
    floor = noise_floor(variance, 0.5, 0.01)
    torch.testing.assert_close(floor, 0.5 + 0.01 * torch.tensor([4.0, 10.0, 16.0], dtype=torch.float64).sqrt())
    torch.testing.assert_close(noise_floor(0 * variance, 0.5, 0.01), torch.full_like(variance, 0.5))
    assert noise_floor(0 * variance, 0.0, 0.0).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="all training examples are equal"):
        noise_floor(0 * variance, 0.0, 0.01)


def test_columns_at_their_floor_are_counted():
    assert describe_floor(0, 5, 0.0, 0.1) is None
    assert "the noise of 3 of 5 columns is at its floor" in describe_floor(3, 5, 0.0, 0.1)
    assert describe_floor(1, 1, 0.5, 0.0).endswith("the likelihood depends (min_scale=0.5)")


@pytest.mark.parametrize("parts", [(-0.1, 0.1), (float("inf"), 0.1), (0.1, 1.0), (0.1, -0.1), (float("nan"), 0.1)])
def test_a_floor_that_is_none_is_refused(parts):
    with pytest.raises(ValueError, match="must not be negative"):
        check_floor(*parts)
