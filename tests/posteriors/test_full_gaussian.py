import math

import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.full_gaussian import FullGaussianPosterior
from tests.support.contracts import check_moments, check_posterior

SHAPE = (1, 2, 2)


def make(hidden_dims=(), min_scale=0.01, latent_dim=3):
    return FullGaussianPosterior(MLPEncoder(SHAPE, list(hidden_dims), "gated"), latent_dim, min_scale)


def parameters_by_hand(posterior, x):
    """Mean and Cholesky factor of one example, entry by entry."""
    output = iter((x.flatten() @ posterior.head.weight.T + posterior.head.bias).tolist())
    mean = [next(output) for _ in range(3)]
    tril = [[0.0] * 3 for _ in range(3)]
    for i in range(3):
        for j in range(i + 1):
            entry = next(output)
            tril[i][j] = math.log1p(math.exp(entry)) + posterior.min_scale if i == j else entry
    assert next(output, None) is None
    return torch.tensor(mean).double(), torch.tensor(tril).double()


def test_each_example_has_a_density():
    check_posterior(make([5]), SHAPE, latent_dim=3)


def test_outputs_are_linear_without_layers():
    posterior, x = make().double(), torch.rand(4, *SHAPE, dtype=torch.float64)
    z = torch.randn(4, 3, dtype=torch.float64)
    log_q = posterior(x).log_prob(z)
    for row in range(4):
        mean, tril = parameters_by_hand(posterior, x[row])
        expected = torch.distributions.MultivariateNormal(mean, tril @ tril.T).log_prob(z[row])
        torch.testing.assert_close(log_q[row], expected)


def test_curvature_is_inverse_covariance():
    posterior, x = make([5]).double(), torch.rand(1, *SHAPE, dtype=torch.float64)
    q = posterior(x)
    hessian = torch.autograd.functional.hessian(lambda z: q.log_prob(z).sum(), torch.zeros(3, dtype=torch.float64))
    covariance = torch.linalg.inv(-hessian)
    torch.testing.assert_close(covariance.diagonal(), q.variance[0])
    assert covariance.tril(-1).abs().max() > 0.01  # a full one
    with torch.no_grad():
        check_moments(q, q.mean, covariance.unsqueeze(0))


def test_factor_diagonal_has_floor():
    posterior = make(min_scale=0.01)
    torch.nn.init.zeros_(posterior.head.weight)
    torch.nn.init.constant_(posterior.head.bias, -100.0)
    q = posterior(torch.rand(1, *SHAPE))
    torch.testing.assert_close(q.scale_tril[0].diagonal(), torch.full((3,), 0.01))
    assert q.log_prob(torch.zeros(3)).isfinite().all()


def test_density_has_full_precision():
    with torch.autocast("cpu", torch.bfloat16):
        q = make([5])(torch.rand(4, *SHAPE))
        assert q.mean.dtype == q.variance.dtype == q.rsample().dtype == torch.float32


def test_index_buffers_are_not_saved():
    assert set(make().state_dict()) == {"head.weight", "head.bias"}
