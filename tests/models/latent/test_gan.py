import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.models.latent.gan import iterate_parameters


def model(*overrides):
    torch.manual_seed(0)
    cfg = dgm_run.compose("model=gan", *overrides)
    validate(cfg)
    return instantiate(cfg.model)


def test_samples_are_decoder_means():
    m = model()
    torch.manual_seed(1)
    x = m.draw(5)
    torch.manual_seed(1)
    torch.testing.assert_close(x, m.decode(m.latent_prior().sample((5,))).mean)
    assert ((x > 0) & (x < 1)).all()
    torch.manual_seed(1)
    assert torch.equal(m.sample(5), x)
    assert not m.sample(5).requires_grad
    assert torch.autograd.grad(x.sum(), m.decoder.output.weight)[0].any()


def test_parameters_belong_to_one_player():
    m = model("prior=mixture", "encoder=conv", "decoder=resnet", "likelihood.learn_scale=shared")
    both = [*iterate_parameters(m.generator), *iterate_parameters(m.discriminator)]
    assert {id(parameter) for parameter in both} == {id(parameter) for parameter in m.parameters()}
    assert len(both) == len(list(m.parameters()))
    assert m.discriminate(m.draw(4)).shape == (4,)


def test_spectral_norm_is_one():
    m = model("model.spectral_norm=true", "encoder=dcgan", "decoder=dcgan", "dataset=mnist")
    assert len(m.discriminator_layers()) == 4
    x = torch.rand(3, 1, 28, 28)
    for _ in range(300):  # a power iteration each
        m.discriminate(x)
    for layer in m.discriminator_layers():
        assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=1e-3)
    names = [name for name, _ in m.named_parameters() if "parametrizations" in name]
    assert names
    assert all(name.startswith(("encoder", "head")) for name in names)
    m.eval()
    assert torch.equal(m.discriminate(x), m.discriminate(x))


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("part", ["dcgan", "resnet"])
def test_networks_for_images(part, dataset):
    m = model(f"decoder={part}", f"encoder={part}", f"dataset={dataset}")
    x = m.draw(2)
    assert x.shape[1:] == m.decoder.likelihood.shape
    assert m.discriminate(x).shape == (2,)


def test_decoder_noise_gives_a_density():
    m = model("model.latent_dim=2")
    x = m.sample(3)
    log_w = m.log_weights(x, 400)
    z = m.latent_prior().sample((400,))
    assert log_w.shape == m.log_likelihoods(x, z).T.shape
