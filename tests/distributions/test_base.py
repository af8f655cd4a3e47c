import pytest
import torch

from dgm_run.distributions.base import Distribution
from tests.support.contracts import check_detach_stops_gradients


class Exponential(Distribution):
    """A family that knows nothing but what the base asks for, over one dimension."""

    def __init__(self, rate):
        super().__init__(rate.shape, torch.Size([1]))
        self.rate = rate

    def rsample(self, sample_shape=()):
        return -torch.rand(self.noise_shape(sample_shape), dtype=self.rate.dtype).log() / self.rate.unsqueeze(-1)

    def log_prob(self, value):
        return self.rate.log() - self.rate * value.squeeze(-1)

    def map(self, function):
        return Exponential(function(self.rate))


class Opaque(Exponential):
    map = Distribution.map


def rates(*shape):
    return 1 + torch.arange(torch.Size(shape).numel(), dtype=torch.float64).reshape(shape)


def test_noise_shape():
    assert Exponential(rates(3)).noise_shape((5, 2)) == (5, 2, 3, 1)


def test_only_rsample_carries_gradient():
    p = Exponential(rates(3).requires_grad_())
    assert not p.sample((2,)).requires_grad
    assert p.rsample((2,)).requires_grad


def test_sample_comes_with_log_density():
    p = Exponential(rates(3))
    z, log_p = p.rsample_and_log_prob((2,))
    expected = torch.distributions.Exponential(rates(3)).log_prob(z.squeeze(-1))
    torch.testing.assert_close(log_p, expected)


@pytest.mark.parametrize("batch", [(), (3,), (3, 2)], ids=str)
@pytest.mark.parametrize("leading", [(), (5,), (5, 4)], ids=str)
def test_pairwise_log_prob_pairs_all(batch, leading):
    z = torch.rand(*leading, 1, dtype=torch.float64)
    log_p = Exponential(rates(*batch)).pairwise_log_prob(z)
    assert log_p.shape == leading + batch
    pairs = z.reshape(leading + (1,) * len(batch))
    torch.testing.assert_close(log_p, torch.distributions.Exponential(rates(*batch)).log_prob(pairs).expand_as(log_p))


def test_detach_stops_gradients():
    check_detach_stops_gradients(Exponential, rates(3))


def test_select_indexes_the_batch():
    assert Exponential(rates(3)).select(torch.tensor([2, 2, 0])).rate.tolist() == [3, 3, 1]


def test_map_without_parameters_is_refused():
    with pytest.raises(NotImplementedError, match=r"^Opaque does not expose its parameters$"):
        Opaque(rates(3)).detach()


def test_torch_does_not_check_arguments():
    assert Exponential(rates(3)).log_prob(torch.full((1,), torch.nan)).isnan().all()
