import math

import pytest
import torch

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.estimators.likelihood.exact_likelihood import ExactLikelihood
from dgm_run.models.linear.ppca import PPCA


@pytest.mark.parametrize("max_batch_rows", [1, 7, 100])
def test_mean_of_closed_form(max_batch_rows):
    torch.manual_seed(0)
    model, x = PPCA((5,), 2, 0.01, 0.0), torch.randn(20, 5)
    log_p = model.log_prob(x).double().detach()
    reports = []
    likelihood, bits = ExactLikelihood(max_batch_rows)(
        model, DataSplit(x, None, to_float, log_bin_width=-math.log(16)), lambda *done: reports.append(done)
    )
    assert (likelihood.quantity, likelihood.kind) == ("log_likelihood", "exact")
    assert likelihood.value == pytest.approx(log_p.mean().item())
    assert likelihood.stderr == pytest.approx(log_p.std().item() / math.sqrt(20))
    assert likelihood.diagnostics["median"] == pytest.approx(log_p.median().item())
    assert bits.value == pytest.approx(4 - log_p.mean().item() / 5 / math.log(2))
    assert reports[-1] == (20, 20)


def test_no_rows_at_a_time_are_refused():
    with pytest.raises(ValueError, match="max_batch_rows = 0 must be positive"):
        ExactLikelihood(0)
