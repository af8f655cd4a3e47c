import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.gaussian_process import JITTER, GaussianProcessPosterior
from tests.support.contracts import check_every_parameter_gets_a_gradient

SHAPE = (1, 2, 2)


def make():
    torch.manual_seed(0)
    posterior = GaussianProcessPosterior(MLPEncoder(SHAPE, [5], "gated"), 3, (-6.0, 2.0), 2, 4, 6, "tanh").double()
    with torch.no_grad():
        posterior.log_length.copy_(torch.tensor([0.3, -0.2]))
        posterior.log_amplitude.fill_(0.4)
    return posterior


def test_z_given_input_is_gp_prediction():
    posterior = make()
    q = posterior(torch.rand(5, *SHAPE).double())
    xi = torch.randn(7, 5, 2).double()
    with torch.no_grad():
        found = posterior.condition_on_input(xi, q.values, q.log_var)
        kernel = ConstantKernel(math.exp(0.8), "fixed") * RBF(np.exp([0.3, -0.2]), "fixed")
        jitter = JITTER * math.exp(0.8)
        for b in range(5):
            process = GaussianProcessRegressor(kernel, alpha=jitter, optimizer=None)
            process.fit(posterior.points.numpy(), q.values[b].numpy())
            mean, std = process.predict(xi[:, b].numpy(), return_std=True)
            torch.testing.assert_close(found.mean[:, b], torch.from_numpy(mean), rtol=1e-6, atol=1e-6)
            variance = torch.from_numpy(std) ** 2 + jitter + q.log_var[b].exp()
            torch.testing.assert_close(found.variance[:, b], variance, rtol=1e-4, atol=1e-6)


def test_substitute_density_is_unbiased():
    posterior = make()
    q = posterior(torch.rand(2, *SHAPE).double())
    torch.manual_seed(1)
    xi = torch.randn(3, 2, 2, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    given = posterior.condition_on_input(xi, q.values, q.log_var)
    z = given.mean + given.variance.sqrt() * torch.randn(3, 2, 3, dtype=torch.float64)
    torch.manual_seed(1)
    found_z, log_q = q.rsample_and_log_prob((3,))
    torch.testing.assert_close(found_z, z)
    of_z = torch.distributions.Normal(given.mean, given.variance.sqrt()).log_prob(z).sum(-1)
    expected = normal.log_prob(xi).sum(-1) + of_z - posterior.infer_input(z, q.feature_term).log_prob(xi)
    torch.testing.assert_close(log_q, expected)


def test_parameters_learn_no_density_at_z():
    posterior = make()
    q = posterior(torch.rand(2, *SHAPE).double())
    z, log_q = q.rsample_and_log_prob((3,))
    check_every_parameter_gets_a_gradient(posterior, torch.cat([z.flatten(), log_q.flatten()]))
    with pytest.raises(NotImplementedError):
        q.log_prob(z)
