import pytest
import torch

from dgm_run.likelihoods.categorical import CategoricalLikelihood
from tests.support.contracts import check_likelihood


def test_density_is_normalised():
    check_likelihood(CategoricalLikelihood([1, 2, 2], num_levels=3), levels=[0, 0.5, 1])


def test_outputs_are_level_logits():
    params, level = torch.randn(5, 4, 3), torch.tensor([0, 3, 1])
    expected = torch.distributions.Categorical(logits=params.mT).log_prob(level).sum(-1)
    torch.testing.assert_close(CategoricalLikelihood([3], num_levels=4)(params).log_prob(level / 3), expected)


def test_each_level_has_an_output():
    assert CategoricalLikelihood([3], num_levels=17).num_params == 17


def test_data_without_levels_are_refused():
    with pytest.raises(ValueError, match=r"^the data set has real values, not grey levels: use likelihood=gaussian$"):
        CategoricalLikelihood([3], num_levels=None)
