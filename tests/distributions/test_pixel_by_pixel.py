import pytest
import torch

from dgm_run.distributions import pixel_by_pixel
from dgm_run.distributions.pixel_by_pixel import PixelByPixel
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.categorical import CategoricalLikelihood
from dgm_run.networks.gated_pixelcnn import GatedPixelCNN
from dgm_run.networks.pixelcnn import PixelCNN
from tests.support.contracts import check_masses_sum_to_one, check_sampler_follows_masses


def make(batch=(), network=GatedPixelCNN, shape=(1, 2, 3), likelihood=None):
    torch.manual_seed(0)
    likelihood = likelihood or BernoulliLikelihood(shape)
    net = network(shape[0], likelihood.num_params * shape[0], 2, 4, 3, 3, 2).double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, 0, 0.7)
    context = torch.randn(*batch, 2, *shape[1:]).double()
    return PixelByPixel(net, context, likelihood, shape[0], likelihood.num_params)


@pytest.mark.parametrize("network", [PixelCNN, GatedPixelCNN])
def test_samples_follow_the_masses(network):
    p = make(network=network)
    check_masses_sum_to_one(p, (0.0, 1.0))
    check_sampler_follows_masses(p, (0.0, 1.0))


def test_levels_and_channels_too():
    p = make(shape=(2, 1, 2), likelihood=CategoricalLikelihood((2, 1, 2), 3))
    check_masses_sum_to_one(p, (0.0, 0.5, 1.0))
    check_sampler_follows_masses(p, (0.0, 0.5, 1.0))


@torch.no_grad()
def test_each_context_has_its_density(monkeypatch):
    p = make((5, 3))
    x = p.sample()
    assert (x.shape, p.mean.shape) == ((5, 3, 1, 2, 3), (5, 3, 1, 2, 3))
    expected = torch.stack([
        PixelByPixel(p.network, context, p.likelihood, 1, 1).log_prob(image)
        for context, image in zip(p.context.flatten(0, 1), x.flatten(0, 1), strict=True)
    ]).view(5, 3)  # fmt: skip
    torch.testing.assert_close(p.log_prob(x), expected)
    shared = torch.stack([PixelByPixel(p.network, c, p.likelihood, 1, 1).log_prob(x[0]) for c in p.context])
    for rows in (500, 4, 1):  # in blocks or at once, with a gradient or without
        monkeypatch.setattr(pixel_by_pixel, "MAX_IMAGES", rows)
        torch.testing.assert_close(p.log_prob(x[0]), shared)
        torch.testing.assert_close(p.log_prob(x), expected)
    with torch.enable_grad():
        torch.testing.assert_close(p.log_prob(x[0]), shared)


def test_mean_is_conditional_on_draw():
    p = make()
    torch.manual_seed(3)
    x, means = p._draw(())
    logits = p.network(2 * x[None] - 1, p.context[None])
    torch.testing.assert_close(means, logits[0].sigmoid())
