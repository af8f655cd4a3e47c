import pytest
import torch

from dgm_run.networks.bounded import BoundedParameter, interval


def test_it_starts_where_told_or_in_the_middle_and_stays_within():
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


def test_in_the_middle_it_moves_as_a_free_parameter():
    parameter = BoundedParameter(torch.tensor([-2.0]), (-6.0, 2.0))
    parameter().sum().backward()
    assert parameter.raw.grad.item() == pytest.approx(1.0)


@pytest.mark.parametrize("bounds", [[2.0, -6.0], [2.0], [-6.0, 0.0, 2.0], [0.0, float("inf")], [1.0, 1.0]])
def test_an_interval_that_is_none_is_refused(bounds):
    with pytest.raises(ValueError, match="must be two finite numbers, the smaller one first"):
        interval(bounds)
