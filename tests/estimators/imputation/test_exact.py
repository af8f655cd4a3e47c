import numpy as np
import pytest
import torch

from dgm_run.data.corruptions import GaussianNoise, MissingAtRandom, SaltAndPepper
from dgm_run.estimators.imputation.exact import Exact
from tests.support import truth

pytestmark = pytest.mark.usefixtures("double")


@torch.no_grad()
def test_missing_elements_match_gaussian():
    model = truth.factor_analysis()
    torch.manual_seed(0)
    x = model.sample(5)
    x_tilde = MissingAtRandom(0.5)(x)
    x_tilde[0] = torch.nan  # nothing is known of the first
    found = Exact()(model, x_tilde, MissingAtRandom(0.5), 20_000)
    for i in range(5):
        mean, covariance, log_p = truth.compute_conditional(model, x_tilde[i].flatten().numpy())
        assert found.mean[i].flatten().numpy() == pytest.approx(mean, abs=1e-9)
        assert found.log_p[i].item() == pytest.approx(log_p, abs=1e-9)
        draws = found.draws[:, i].flatten(1).numpy()
        assert draws.mean(0) == pytest.approx(mean, abs=5 * np.sqrt(covariance.max() / 20_000))
        assert np.cov(draws.T) == pytest.approx(covariance, abs=0.1 * covariance.max())


@torch.no_grad()
def test_noisy_elements_follow_the_gaussian():
    model = truth.factor_analysis()
    torch.manual_seed(0)
    corrupt = GaussianNoise(0.7)
    x_tilde = corrupt(model.sample(3))
    found = Exact()(model, x_tilde, corrupt, 20_000)
    for i in range(3):
        mean, covariance, log_p = truth.compute_conditional(model, x_tilde[i].flatten().numpy(), 0.7)
        assert found.mean[i].flatten().numpy() == pytest.approx(mean, abs=1e-9)
        assert found.log_p[i].item() == pytest.approx(log_p, abs=1e-9)
        assert np.cov(found.draws[:, i].flatten(1).numpy().T) == pytest.approx(covariance, abs=0.1 * covariance.max())


@torch.no_grad()
def test_salt_and_pepper_are_missing_values():
    model = truth.factor_analysis()
    x_tilde = torch.tensor([0.3, 1.0, 0.2, 0.0, -0.4, 0.9]).view(1, 1, 1, 6)
    missing = torch.tensor([0.3, np.nan, 0.2, np.nan, -0.4, 0.9])
    found = Exact()(model, x_tilde, SaltAndPepper(0.2), 2)
    mean, _, log_p = truth.compute_conditional(model, missing.numpy())
    assert found.mean.flatten().numpy() == pytest.approx(mean, abs=1e-9)
    assert found.log_p.item() == pytest.approx(log_p, abs=1e-9)
