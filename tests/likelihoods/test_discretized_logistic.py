import numpy as np
import pytest
import scipy.stats
import torch

from dgm_run.likelihoods.discretized_logistic import DiscretizedLogisticLikelihood
from tests.support.contracts import check_every_parameter_gets_a_gradient, check_likelihood


def test_density_is_normalised():
    check_likelihood(DiscretizedLogisticLikelihood([1, 2, 2], 3, log_scale=-1.0), levels=[0, 0.5, 1])


def test_decoder_gives_mean_and_scale():
    params = torch.tensor([[[0.3, -1.0]], [[0.5, -0.2]]])  # (num_params, 1, 2)
    p = DiscretizedLogisticLikelihood([1, 2], 256, log_scale=-2.0)(params)
    level = torch.tensor([[100, 180]])
    mean = 1 / (1 + np.exp([-0.3, 1.0]))
    logistic = scipy.stats.logistic(mean, np.exp([-1.5, -2.2]) + np.exp(-7))
    mass = logistic.cdf((level[0].numpy() + 1) / 256) - logistic.cdf(level[0].numpy() / 256)
    assert p.log_prob(level / 255).item() == pytest.approx(np.log(mass).sum(), rel=1e-4)


def test_the_scale_at_the_start_is_learned():
    likelihood = DiscretizedLogisticLikelihood([2], 256, log_scale=-2.0)
    assert {name: p.item() for name, p in likelihood.named_parameters()} == {"log_scale": -2.0}
    log_p = likelihood(torch.zeros(3, 2, 2)).log_prob(torch.tensor([0.2, 0.9]))
    check_every_parameter_gets_a_gradient(likelihood, log_p)


def test_data_without_levels_are_refused():
    with pytest.raises(ValueError, match=r"^the data set has real values, not grey levels: use likelihood=gaussian$"):
        DiscretizedLogisticLikelihood([3], None, log_scale=-2.0)
