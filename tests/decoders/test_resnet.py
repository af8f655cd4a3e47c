import pytest
import torch

from dgm_run.decoders.resnet import ResNetDecoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from tests.support.contracts import check_every_parameter_gets_a_gradient


def make(shape=(1, 8, 4), channels=(4, 3, 5)):
    torch.manual_seed(0)
    return ResNetDecoder(3, list(channels), 1, BernoulliLikelihood(shape))


def test_pixels_have_the_data_shape():
    decoder, z = make(), torch.randn(5, 2, 3)
    p = decoder(z)
    assert (p.batch_shape, p.event_shape) == ((5, 2), (1, 8, 4))
    torch.testing.assert_close(p.logits[3], decoder(z[3]).logits)
    check_every_parameter_gets_a_gradient(decoder, p.logits)


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="8 x 6 is not divisible by 4"):
        make((1, 8, 6))
    with pytest.raises(ValueError, match="needs a stage"):
        make(channels=())
