import math

import pytest
import torch

from dgm_run.estimators.samples.frechet import frechet_distance


def gaussian(n, mean, covariance, seed):
    torch.manual_seed(seed)
    return torch.distributions.MultivariateNormal(mean.double(), covariance.double()).sample((n,))


def test_gaussians_match_the_closed_form():
    torch.manual_seed(0)
    a = torch.randn(4, 4)
    first, shift = torch.diag(torch.tensor([1.0, 2.0, 0.5, 3.0])), torch.tensor([1.0, 0, -1, 0.5])
    rotation = torch.linalg.qr(a)[0]
    # covariances that commute: the root is that of the eigenvalues
    second = torch.diag(torch.tensor([2.0, 0.3, 0.5, 1.0]))
    expected = 2.25 + sum((math.sqrt(s) - math.sqrt(t)) ** 2 for s, t in zip((1, 2, 0.5, 3), (2, 0.3, 0.5, 1)))  # noqa: B905
    x, y = gaussian(200_000, torch.zeros(4), first, 1), gaussian(200_000, shift, second, 2)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=0.01)
    assert frechet_distance(x @ rotation.double(), y @ rotation.double()) == pytest.approx(frechet_distance(x, y))


def test_any_covariances_match_scipy():
    from scipy.linalg import sqrtm

    torch.manual_seed(0)
    x, y = torch.randn(50, 6).double() @ torch.randn(6, 6).double(), torch.randn(80, 6).double() + 0.5
    of_x, of_y = torch.cov(x.T), torch.cov(y.T)
    root = torch.from_numpy(sqrtm((of_x @ of_y).numpy()).real)
    expected = (x.mean(0) - y.mean(0)).square().sum() + (of_x + of_y - 2 * root).trace()
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-9)


def test_small_samples_have_the_stated_bias():
    x = gaussian(500, torch.zeros(16), torch.eye(16), 0)
    assert frechet_distance(x, x[torch.randperm(500)]) < 1e-9
    pairs = [[gaussian(500, torch.zeros(16), torch.eye(16), seed + other) for other in (0, 99)] for seed in range(8)]
    found = [frechet_distance(*pair) for pair in pairs]
    assert sum(found) / 8 == pytest.approx((16**2 / 2 + 32) / 500, rel=0.15)
