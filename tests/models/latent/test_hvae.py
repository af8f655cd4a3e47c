import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from tests.support.contracts import check_every_parameter_gets_a_gradient

SMALL = ("model=hvae", "model.latent_dim=2", "model.total_dim=5", "model.hidden_dims=[6,7]", "encoder.hidden_dims=[8]",
         "decoder.hidden_dims=[9]")  # fmt: skip


def model(*overrides):
    cfg = dgm_run.compose(*SMALL, *overrides)
    validate(cfg)
    torch.manual_seed(0)
    return instantiate(cfg.model)


def x(n=4):
    return torch.rand(n, 1, 8, 8).round()


def test_weights_match_both_levels():
    m = model().double()
    examples = x().double()
    terms = m.sample_terms(examples, 3)
    lower, upper = terms.z.split([3, 2], -1)

    def gaussian(layer, features, value):
        mean, log_var = (features @ layer.linear.weight.T + layer.linear.bias).chunk(2, -1)
        log_var = log_var.clamp(-6, 2)
        return (-0.5 * ((value - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))).sum(-1)

    features = m.encoder(examples).expand(3, -1, -1)
    joined = torch.cat([features, m.from_upper(upper)], -1)
    weight = torch.cat([m.joint.first.weight, m.joint.second.weight], 1)
    value, gate = (joined @ weight.T + m.joint.second.bias).chunk(2, -1)
    log_q = m.posterior(examples).log_prob(upper) + gaussian(m.recognition, value * gate.sigmoid(), lower)
    standard = -0.5 * (upper.square() + math.log(2 * math.pi)).sum(-1)
    log_p = standard + gaussian(m.generation, m.to_lower(upper), lower)
    torch.testing.assert_close(terms.log_qz, log_q)
    torch.testing.assert_close(terms.log_pz, log_p)
    torch.testing.assert_close(terms.log_px, m.decoder(terms.z).log_prob(examples))


def test_the_two_encoders_are_two():
    m = model()
    assert m.encoder is not m.posterior.encoder
    check_every_parameter_gets_a_gradient(m, m.log_weights(x(), 2))


def test_samples_start_at_upper_prior():
    m = model("prior=vampprior", "prior.num_components=3")
    assert m.latent_prior().sample((6,)).shape == (6, 5)
    assert m.sample(6).shape == (6, 1, 8, 8)
    assert m.reconstruct(x()).shape == (4, 1, 8, 8)


def test_both_levels_read_stick_pieces():
    m = model("prior=stick_breaking", "posterior=kumaraswamy")
    z = torch.randn(3, 5)
    pieces = m.prior.compute_decoder_input(z[:, 3:])
    torch.testing.assert_close(m.decode(z).logits, m.decoder(torch.cat([z[:, :3], pieces], -1)).logits)


def test_missing_lower_level_is_refused():
    with pytest.raises(ConfigError, match="total_dim = 2 counts both levels"):
        model("model.total_dim=2")


def test_scoreless_gradients_are_refused(tmp_path):
    cfg = dgm_run.compose(*SMALL, "objective=iwae", "objective.gradient=dreg", "trainer.max_epochs=1")
    with pytest.raises(
        ConfigError, match=r"objective.gradient: dreg needs a density .*: use objective.gradient=standard"
    ):
        dgm_run.run(cfg, tmp_path)
