import pytest
import torch

from dgm_run.estimators.samples.blocks import block_stderr


def difference(x, y):
    return (x.mean(0) - y.mean(0)).flatten()


def test_error_of_a_difference_of_means():
    torch.manual_seed(0)
    errors = torch.stack(
        [block_stderr(difference, torch.randn(200, 1), 2 * torch.randn(200, 1), 10)[0] for _ in range(300)]
    )
    assert errors.square().mean().sqrt().item() == pytest.approx((5 / 200) ** 0.5, rel=0.05)


def test_small_samples_have_fewer_blocks():
    x = torch.randn(60, 1)
    assert block_stderr(difference, x, x, 10)[1] == 5
    assert block_stderr(difference, x, x, 20) is None
