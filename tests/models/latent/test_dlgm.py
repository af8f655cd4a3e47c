import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from tests.support.contracts import check_every_parameter_gets_a_gradient

SMALL = ("model=dlgm", "model.latent_dim=3", "model.upper_dim=2", "model.hidden_dims=[6,7]", "encoder.hidden_dims=[8]",
         "decoder.hidden_dims=[9]")  # fmt: skip


def model(*overrides):
    cfg = dgm_run.compose(*SMALL, *overrides)
    validate(cfg)
    torch.manual_seed(0)
    return instantiate(cfg.model)


def x(n=4):
    return torch.rand(n, 1, 8, 8).round()


def test_weights_match_both_levels():
    m = model("model.activation=tanh").double()
    examples = x().double()
    terms = m.sample_terms(examples, 3)
    lower, upper = terms.z.split([3, 2], -1)

    def gaussian(layer, features, value):
        mean, log_var = (features @ layer.linear.weight.T + layer.linear.bias).chunk(2, -1)
        log_var = log_var.clamp(-6, 2)
        return (-0.5 * ((value - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))).sum(-1)

    def hidden(network, value):
        for layer in network[::2]:
            value = torch.tanh(value @ layer.weight.T + layer.bias)
        return value

    log_q = m.posterior(examples).log_prob(lower) + gaussian(m.recognition, hidden(m.from_lower, lower), upper)
    standard = -0.5 * (upper.square() + math.log(2 * math.pi)).sum(-1)
    log_p = standard + gaussian(m.generation, hidden(m.from_upper, upper), lower)
    torch.testing.assert_close(terms.log_qz, log_q)
    torch.testing.assert_close(terms.log_pz, log_p)
    torch.testing.assert_close(terms.log_px, m.decoder(lower).log_prob(examples))


def test_level_networks_mirror_and_learn():
    m = model()
    widths = [layer.in_features for layer in (*m.from_lower[::2], m.recognition.linear)]
    assert widths == [3, 6, 7]
    assert [layer.in_features for layer in (*m.from_upper[::2], m.generation.linear)] == [2, 7, 6]
    check_every_parameter_gets_a_gradient(m, m.log_weights(x(), 2))


def test_samples_pass_both_levels():
    m = model("prior=stick_breaking", "posterior=iaf")
    assert m.sample(6).shape == (6, 1, 8, 8)
    assert m.infer(x()).sample((2,)).shape == (2, 4, 5)
    assert m.reconstruct(x()).shape == (4, 1, 8, 8)


def test_posterior_priors_are_refused():
    with pytest.raises(ConfigError, match=r"DLGM needs prior .* VampPrior is not: choose prior=autoregressive \|"):
        model("prior=vampprior")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.upper_dim=0", "model.upper_dim = 0 must be at least 1"),
        ("model.hidden_dims=[]", "need a hidden layer"),
    ],
)
def test_sizes_that_are_none_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        model(override)


def test_scoreless_gradients_are_refused(tmp_path):
    cfg = dgm_run.compose(*SMALL, "objective=iwae", "objective.gradient=dreg", "trainer.max_epochs=1")
    with pytest.raises(ConfigError, match=r"objective.gradient: dreg needs a density"):
        dgm_run.run(cfg, tmp_path)
