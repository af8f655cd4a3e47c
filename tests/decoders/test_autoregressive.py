import pytest
import torch
from contracts import check_every_parameter_gets_a_gradient

from dgm_run.decoders.gated_pixelcnn import GatedPixelCNNDecoder
from dgm_run.decoders.pixelcnn import PixelCNNDecoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.gaussian import GaussianLikelihood


@pytest.mark.parametrize("decoder", [PixelCNNDecoder, GatedPixelCNNDecoder])
def test_z_reaches_the_parameters_of_every_pixel_and_every_weight_learns(decoder):
    torch.manual_seed(0)
    made, x = decoder(3, 2, 16, 5, 3, 3, BernoulliLikelihood((1, 4, 4))), torch.rand(2, 1, 4, 4).round()

    def logits(z):
        p = made(z)
        return p.network(2 * x - 1, p.context)

    of_z = torch.autograd.functional.jacobian(logits, torch.randn(2, 3))  # (B, 1, H, W, B, L)
    assert (of_z[0, 0, :, :, 0].abs().sum(-1) > 0).all()
    assert not of_z[0, 0, :, :, 1].any()
    check_every_parameter_gets_a_gradient(made, made(torch.randn(6, 2, 3)).log_prob(x))


def test_a_scale_for_every_pixel_is_refused():
    likelihood = GaussianLikelihood((1, 4, 4), 1.0, "element", 0.01)
    with pytest.raises(ValueError, match="learn_scale=shared or predicted"):
        PixelCNNDecoder(3, 2, 5, 5, 3, 3, likelihood)
