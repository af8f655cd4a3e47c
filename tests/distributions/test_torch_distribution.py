"""Torch distributions as densities of this package, against torch itself without flat batches."""

import pytest
import torch
from torch import Size
from torch.distributions import Bernoulli, Independent, Laplace, MixtureSameFamily, MultivariateNormal, Normal
from torch.distributions import Categorical as TorchCategorical

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.torch_distribution import wrap_distribution

LOGITS = torch.linspace(-2, 2, 2 * 3 * 4).view(2, 3, 4)


def flat_bernoulli() -> Distribution:
    """A density of batch shape (2, 3) whose base has the batch shape (6,)."""
    return wrap_distribution(Independent(Bernoulli(logits=LOGITS.view(6, 4)), 1), Size((2, 3)))


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (5, 2, 3, 4), (5, 1, 1, 4)])
def test_flat_batch_has_the_same_density(shape):
    x = torch.bernoulli(torch.full(shape, 0.5))
    expected = Independent(Bernoulli(logits=LOGITS), 1).log_prob(x)
    torch.testing.assert_close(flat_bernoulli().log_prob(x), expected)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (5, 2, 3, 4)])
def test_flat_batch_has_the_same_elements(shape):
    x = torch.bernoulli(torch.full(shape, 0.5))
    expected = Bernoulli(logits=LOGITS).log_prob(x)
    torch.testing.assert_close(flat_bernoulli().elementwise_log_prob(x), expected)


def test_flat_batch_has_means_and_samples():
    p = flat_bernoulli()
    torch.testing.assert_close(p.mean, LOGITS.sigmoid())
    torch.testing.assert_close(p.sample((20_000,)).mean(0), LOGITS.sigmoid(), atol=0.02, rtol=0)


def test_dependent_elements_have_no_density_of_their_own():
    p = wrap_distribution(MultivariateNormal(torch.zeros(2), torch.eye(2)), Size())
    with pytest.raises(NotImplementedError):
        p.elementwise_log_prob(torch.zeros(2))


def test_pairs_of_examples_and_densities():
    base = Independent(Normal(torch.randn(3, 2), 1.0), 1)
    z = torch.randn(5, 2)
    expected = torch.stack([base.log_prob(each) for each in z])
    torch.testing.assert_close(wrap_distribution(base, Size((3,))).pairwise_log_prob(z), expected)


def test_mean_without_a_closed_form_is_estimated():
    class Meanless(Normal):
        @property
        def mean(self):
            raise NotImplementedError

    torch.manual_seed(0)
    p = wrap_distribution(Independent(Meanless(torch.full((3,), 5.0), 1.0), 1), Size())
    torch.testing.assert_close(p.mean, torch.full((3,), 5.0), atol=0.4, rtol=0)
    first, second = p.independent_mean_estimates()
    assert not torch.equal(first, second)


def test_tails():
    zeros = torch.zeros(2)
    assert wrap_distribution(Independent(Laplace(zeros, 1.0), 1), Size()).exponential_tails == (True, True)
    assert wrap_distribution(Independent(Normal(zeros, 1.0), 1), Size()).exponential_tails == (False, False)


def test_own_density_is_unchanged():
    own = DiagonalGaussian(torch.zeros(2), torch.zeros(2))
    assert wrap_distribution(own, Size()) is own


def test_mixture_of_torch():
    mixture = MixtureSameFamily(
        TorchCategorical(torch.ones(2)), Independent(Normal(torch.tensor([[-1.0], [1.0]]), 1.0), 1)
    )
    z = torch.randn(7, 3, 1)
    torch.testing.assert_close(wrap_distribution(mixture, Size()).log_prob(z), mixture.log_prob(z))
