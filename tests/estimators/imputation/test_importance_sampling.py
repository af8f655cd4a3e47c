import math

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.corruptions import BitFlip, MissingAtRandom
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.importance_sampling import ImportanceSampling
from tests.support import truth

pytestmark = pytest.mark.usefixtures("double")
MISSING = MissingAtRandom(0.5)


def test_it_tends_to_the_quadrature():
    model = truth.binary_vae().double()
    torch.manual_seed(0)
    found = ImportanceSampling(100_000, 7_000)(model, truth.OBSERVED.double(), MISSING, 4000)
    p, means = truth.integrate_over_z(model, {0: 1, 2: 0})
    means[[0, 2]] = 1, 0  # what is known
    assert found.log_p.item() == pytest.approx(math.log(p), abs=0.01)
    assert found.mean.flatten().numpy() == pytest.approx(means, abs=0.01)
    assert found.draws.mean(0).flatten().numpy() == pytest.approx(means, abs=0.04)


def test_flipped_pixels_match_quadrature():
    model, share = truth.binary_vae().double(), 0.2
    x = torch.tensor([[[[1.0, 0.0, 0.0, 1.0]]]])
    torch.manual_seed(0)
    found = ImportanceSampling(100_000, 10_000)(model, x, BitFlip(share), 100)
    # the sum over all that may stand behind the four pixels
    total, means = 0.0, torch.zeros(4)
    for code in range(16):
        bits = torch.tensor([(code >> i) & 1 for i in range(4)]).double()
        turned = int((bits != x.flatten()).sum())
        p = (
            truth.integrate_over_z(model, dict(enumerate(bits.tolist())))[0]
            * share**turned
            * (1 - share) ** (4 - turned)
        )
        total, means = total + p, means + p * bits
    assert found.log_p.item() == pytest.approx(math.log(total), abs=0.01)
    assert found.mean.flatten().numpy() == pytest.approx((means / total).numpy(), abs=0.01)


def test_exact_posterior_gives_equal_weights():
    model = truth.factor_analysis()
    torch.manual_seed(0)
    x_tilde = MISSING(model.sample(4))
    found = ImportanceSampling(20_000, 10_000)(model, x_tilde, MISSING, 10)
    exact = Exact()(model, x_tilde, MISSING, 2)
    torch.testing.assert_close(found.log_p, exact.log_p)
    torch.testing.assert_close(found.diagnostics["ess"], torch.full((4,), 20_000.0))
    torch.testing.assert_close(found.mean, exact.mean, rtol=0, atol=0.05)


def test_dependent_pixels_are_unsupported():
    overrides = ("decoder=pixelcnn", "decoder.network.channels=2", "model.latent_dim=2")
    model = instantiate(compose(*overrides).model).eval()
    assert not ImportanceSampling(10, 10).supports(model, MISSING)
    assert ImportanceSampling(10, 10).supports(truth.binary_vae(), MISSING)
    with pytest.raises(ValueError, match="must be positive"):
        ImportanceSampling(0, 10)
