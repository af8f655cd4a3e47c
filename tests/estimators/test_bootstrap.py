import pytest
import torch

from dgm_run.estimators.bootstrap import bootstrap_stderr


def test_error_of_a_mean_is_the_usual_one():
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)).double()
    found = bootstrap_stderr(lambda index: x[index].mean().item(), 500)
    assert found == pytest.approx((x.std() / 500**0.5).item(), rel=0.15)


def test_it_leaves_other_draws_as_they_are():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    bootstrap_stderr(lambda index: index.sum().item(), 10)
    assert torch.equal(torch.rand(3), expected)


def test_one_example_has_no_error():
    assert bootstrap_stderr(lambda index: 0.0, 1) is None
