import torch

from dgm_run.likelihoods.bernoulli import BernoulliLikelihood
from tests.support.contracts import check_likelihood


def test_density_is_normalised():
    check_likelihood(BernoulliLikelihood([1, 2, 2]), levels=[0, 1])


def test_output_is_the_logit():
    params, x = torch.randn(5, 1, 3), torch.tensor([1.0, 0.0, 1.0])
    expected = torch.distributions.Bernoulli(logits=params.squeeze(1)).log_prob(x).sum(-1)
    torch.testing.assert_close(BernoulliLikelihood([3])(params).log_prob(x), expected)


def test_only_binary_data_are_taken():
    assert BernoulliLikelihood.takes == ("binary",)
    assert BernoulliLikelihood.num_params == 1
