import torch

from dgm_run.models.linear.ppca import PPCA
from dgm_run.objectives.log_likelihood import LogLikelihood


def test_the_loss_is_minus_what_is_reported():
    torch.manual_seed(0)
    model, x = PPCA((5,), 2, 0.01, 0.0), torch.randn(7, 5)
    loss, terms = LogLikelihood()(model, x)
    assert list(terms) == [LogLikelihood.monitor]
    torch.testing.assert_close(terms["log_likelihood"], model.log_prob(x).mean())
    torch.testing.assert_close(loss, -terms["log_likelihood"])
