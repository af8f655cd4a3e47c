import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.estimators.imputation.metropolis_within_gibbs import MetropolisWithinGibbs
from dgm_run.estimators.imputation.pseudo_gibbs import PseudoGibbs
from tests.support import truth

MISSING = MissingAtRandom(0.5)


def test_chain_converges_to_quadrature():
    model = truth.binary_vae()
    torch.manual_seed(0)
    x_tilde = truth.OBSERVED.expand(4000, -1, -1, -1)
    _, means = truth.integrate_over_z(model, {0: 1, 2: 0})
    found = MetropolisWithinGibbs(300, 100, 10)(model, x_tilde, MISSING, 3)
    assert found.mean.mean(0).flatten()[[1, 3]].numpy() == pytest.approx(means[[1, 3]], abs=0.005)
    assert found.draws.mean((0, 1)).flatten()[[1, 3]].numpy() == pytest.approx(means[[1, 3]], abs=0.025)
    assert 0.2 < found.diagnostics["acceptance"].mean().item() < 0.99
    pseudo = PseudoGibbs(60, 20)(model, x_tilde, MISSING, 3).mean.mean(0).flatten()[[1, 3]].numpy()
    assert abs(pseudo - means[[1, 3]]).max() > 0.03


def test_exact_proposals_are_all_accepted():
    model = truth.factor_analysis()
    torch.manual_seed(0)
    found = MetropolisWithinGibbs(50, 10, 0)(model, MISSING(model.sample(20)), MISSING, 3)
    assert (found.diagnostics["acceptance"] == 1).all()


def test_posterior_needs_a_density():
    tiny = ("model.latent_dim=2", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[4]")
    imputer = MetropolisWithinGibbs(50, 10, 0)
    for posterior, fits in (("gaussian", True), ("planar_flow", False)):
        model = instantiate(compose(*tiny, f"posterior={posterior}").model).eval()
        assert imputer.supports(model, MISSING) is fits
    with pytest.raises(ValueError, match="num_trusted = 11"):
        MetropolisWithinGibbs(50, 10, 11)
