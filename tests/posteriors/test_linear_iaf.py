import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.linear_iaf import LinearIAFPosterior, TriangularStep
from tests.support.contracts import check_flow_posterior, check_step

SHAPE = (1, 2, 2)


def make(num_matrices=2):
    return LinearIAFPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), num_matrices)


def test_a_step_keeps_the_volume():
    torch.manual_seed(0)
    matrix = torch.randn(3, 4, 4).double().tril(-1) + torch.eye(4).double()
    check_step(TriangularStep(matrix), 3, 4, invertible=True, volume=True)


def test_each_example_has_a_flow_of_its_own():
    check_flow_posterior(make(), SHAPE, 3, invertible=True)


def test_factor_is_mean_of_matrices():
    torch.manual_seed(0)
    posterior, x = make().double(), torch.rand(1, *SHAPE).double()
    posterior.head.weight.data.normal_()
    output = posterior.head(posterior.encoder(x))[0, 6:].tolist()
    first, second = output[:4], output[4:]  # three entries below the diagonal and a weight, each
    y = torch.tensor([first[3], second[3]]).double().softmax(0)
    factor = torch.eye(3).double()
    for k, (i, j) in enumerate([(1, 0), (2, 0), (2, 1)]):
        factor[i, j] = y[0] * first[k] + y[1] * second[k]
    q = posterior(x)
    covariance = factor @ q.base.variance[0].diag() @ factor.T
    expected = torch.distributions.MultivariateNormal(factor @ q.base.mean[0], covariance)
    z = torch.randn(6, 1, 3).double()
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z))


def test_no_matrix_is_refused():
    with pytest.raises(ValueError, match="num_matrices = 0"):
        make(num_matrices=0)
