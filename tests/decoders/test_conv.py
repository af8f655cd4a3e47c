import pytest
import torch

from dgm_run.decoders.conv import ConvDecoder
from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from dgm_run.likelihoods.categorical import CategoricalLikelihood
from tests.support.contracts import check_every_parameter_gets_a_gradient


def make(shape=(1, 8, 4), strides=(2, 2), likelihood=BernoulliLikelihood, **more):
    torch.manual_seed(0)
    return ConvDecoder(3, 2, [4, 5], [3, 3], list(strides), "gated", False, likelihood(shape, **more))


@pytest.mark.parametrize("strides", [(2, 2), (1, 1), (4, 1)])
def test_pixels_have_the_data_shape(strides):
    decoder, z = make(strides=strides), torch.randn(5, 2, 3)
    p = decoder(z)
    assert (p.batch_shape, p.event_shape) == ((5, 2), (1, 8, 4))
    torch.testing.assert_close(p.logits[3], decoder(z[3]).logits)
    check_every_parameter_gets_a_gradient(decoder, p.logits)


def test_parameters_stand_before_channels():
    decoder = make((3, 4, 4), likelihood=CategoricalLikelihood, num_levels=5)
    p = decoder(torch.randn(2, 3))
    assert p.log_p.shape == (2, 5, 3, 4, 4)


def test_indivisible_sizes_are_refused():
    with pytest.raises(ValueError, match="8 x 6 is not divisible by 4"):
        make((1, 8, 6))
