import math

import pytest
import torch

from dgm_run.samplers.svgd import bandwidth, squared_stein_discrepancy, svgd_direction


def particles(n=6, batch=3, dim=2):
    torch.manual_seed(0)
    return torch.randn(n, batch, dim).double(), torch.randn(n, batch, dim).double()


def kernel(a, b, h):
    return torch.exp(-((a - b) ** 2).sum() / h)


def test_bandwidth_is_scaled_median():
    z, _ = particles(4)
    for b in range(3):
        squares = [((z[i, b] - z[j, b]) ** 2).sum() for i in range(4) for j in range(4) if i != j]
        expected = torch.stack(squares).sort().values[5] / math.log(5)  # the lower one of the two in the middle
        torch.testing.assert_close(bandwidth(z)[b], expected)


@pytest.mark.parametrize("is_self_excluded", [False, True])
def test_direction_matches_direct_sum(is_self_excluded):
    z, score = particles()
    phi, h = svgd_direction(z, score, is_self_excluded), bandwidth(z)
    for b in range(3):
        for i in range(6):
            total = torch.zeros(2).double()
            for j in (j for j in range(6) if j != i or not is_self_excluded):
                other = z[j, b].clone().requires_grad_()
                k = kernel(other, z[i, b], h[b])
                total += k.detach() * score[j, b] + torch.autograd.grad(k, other)[0]
            torch.testing.assert_close(phi[i, b], total / (6 - is_self_excluded))


def test_discrepancy_matches_autograd():
    z, score = particles()
    found, h = squared_stein_discrepancy(z, score), bandwidth(z)
    for b in range(3):
        total = 0.0
        for i in range(6):
            for j in range(6):
                if i == j:
                    continue
                a, c = z[i, b].clone().requires_grad_(), z[j, b].clone().requires_grad_()
                k = kernel(a, c, h[b])
                (of_a,) = torch.autograd.grad(k, a, create_graph=True)
                (of_c,) = torch.autograd.grad(k, c, retain_graph=True)
                trace = sum(torch.autograd.grad(of_a[d], c, retain_graph=True)[0][d] for d in range(2))
                total += k * (score[i, b] @ score[j, b]) + score[i, b] @ of_c + score[j, b] @ of_a + trace
        torch.testing.assert_close(found[b], (total / 30).detach())


def test_svgd_reaches_gaussian():
    torch.manual_seed(0)
    mean, scale = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 1.5]).double()
    z = torch.randn(100, 1, 2).double()
    score = lambda z: -(z - mean) / scale**2  # noqa: E731
    before = squared_stein_discrepancy(z, score(z)).item()
    for _ in range(1500):
        z = z + 0.1 * svgd_direction(z, score(z), is_self_excluded=False)
    assert (z.mean((0, 1)) - mean).abs().max() < 0.05
    assert ((z.std((0, 1)) / scale - 1).abs() < 0.15).all()  # finitely many lie a little too close
    assert squared_stein_discrepancy(z, score(z)).item() < 0.01 * before


def test_svgd_fixes_target_samples():
    torch.manual_seed(0)
    z = torch.randn(8, 5000, 10).double()
    inward = [
        (svgd_direction(z, -z, is_self_excluded) * z).sum(-1).mean(0) for is_self_excluded in (True, False)
    ]  # each target's mean
    right, wrong = (found.mean() / (found.std() / 5000**0.5) for found in inward)
    assert abs(right) < 5
    assert wrong < -50


def test_autocast_keeps_full_precision():
    torch.manual_seed(0)
    z = (3 * torch.randn(10, 6, 1).sign() + 0.1 * torch.randn(10, 6, 1)).float()
    expected = svgd_direction(z, -z, is_self_excluded=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = svgd_direction(z, -z, is_self_excluded=True)
    torch.testing.assert_close(found, expected)


def test_discrepancy_is_zero_on_target():
    torch.manual_seed(0)
    z = torch.randn(20, 4000, 2).double()
    right, wrong = squared_stein_discrepancy(z, -z), squared_stein_discrepancy(z, -(z - 0.7))
    assert abs(right.mean()) < 5 * right.std() / 4000**0.5 + 0.02
    assert wrong.mean() > 0.1
