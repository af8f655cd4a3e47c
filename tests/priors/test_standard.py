import pytest
import torch

from dgm_run.priors.standard import StandardPrior
from tests.support.contracts import check_density_integrates_to_one, check_sampler_follows_density


@pytest.mark.parametrize("dim", [1, 2])
def test_samples_follow_the_density(dim):
    p = StandardPrior(dim).double()(None)
    check_density_integrates_to_one(p)
    check_sampler_follows_density(p)


def test_density_is_standard_gaussian():
    z = torch.randn(5, 4, 3)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(StandardPrior(3)(None).log_prob(z), expected)


def test_nothing_to_train_or_save():
    prior = StandardPrior(3)
    assert not list(prior.parameters())
    assert not prior.state_dict()


def test_samples_have_the_type_of_the_module():
    assert StandardPrior(3).double()(None).sample((2,)).dtype == torch.float64
