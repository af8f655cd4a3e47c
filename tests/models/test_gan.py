import torch

import dgm_run
from dgm_run.config import instantiate, validate
from dgm_run.models.gan import parameters_of


def model(*overrides):
    torch.manual_seed(0)
    cfg = dgm_run.compose("model=gan", *overrides)
    validate(cfg)
    return instantiate(cfg.model)


def test_samples_are_the_means_of_the_decoder_and_carry_its_gradient():
    m = model()
    torch.manual_seed(1)
    x = m.draw(5)
    torch.manual_seed(1)
    torch.testing.assert_close(x, m.decode(m.latent_prior().sample((5,))).mean)
    assert ((x > 0) & (x < 1)).all()
    assert torch.autograd.grad(x.sum(), m.decoder.output.weight)[0].any()


def test_every_parameter_is_of_the_generator_or_of_the_discriminator():
    m = model("prior=mixture", "encoder=conv", "decoder=resnet", "likelihood.learn_scale=shared")
    both = [*parameters_of(m.generator), *parameters_of(m.discriminator)]
    assert {id(parameter) for parameter in both} == {id(parameter) for parameter in m.parameters()}
    assert len(both) == len(list(m.parameters()))
    assert m.discriminate(m.draw(4)).shape == (4,)


def test_with_the_noise_of_its_decoder_it_has_a_density():
    m = model("model.latent_dim=2")
    x = m.sample(3)
    log_w = m.log_weights(x, 400)
    z = m.latent_prior().sample((400,))
    assert log_w.shape == m.log_likelihoods(x, z).T.shape
