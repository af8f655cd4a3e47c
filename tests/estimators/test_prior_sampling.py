import math

import pytest
import torch

import dgm_run
from dgm_run.config import instantiate
from dgm_run.data.dataset import Examples, to_float
from dgm_run.estimators.prior_sampling import PriorSampling


def model(weight=1.0):
    torch.manual_seed(0)
    made = instantiate(dgm_run.compose("model=density_network", "decoder.hidden_dims=[]").model)
    with torch.no_grad():
        made.decoder.output.weight.mul_(weight)
    return made


def examples(m, n=25):
    return Examples(m.sample(n), None, to_float)


@pytest.mark.parametrize("max_rows", [7, 1000])
def test_it_is_the_log_mean_over_the_same_draws_for_all_examples(max_rows, monkeypatch):
    m = model()
    data, reports, drawn, decode = examples(m), [], [], m.decode
    monkeypatch.setattr(m, "decode", lambda z: drawn.append(z) or decode(z))
    likelihood, bits = PriorSampling(100, max_rows)(m, data, lambda *done: reports.append(done))
    monkeypatch.undo()
    z = torch.cat(drawn)
    assert len(z.unique(dim=0)) == 100
    log_px = torch.stack([m.decode(row).log_prob(data.x) for row in z]).double()
    log_p = log_px.logsumexp(0) - math.log(100)
    assert likelihood.value == pytest.approx(log_p.mean().item(), rel=1e-6)
    weights = log_px.softmax(0)
    ess = 1 / weights.square().sum(0)
    assert likelihood.diagnostics["ess_median"] == pytest.approx(ess.median().item(), rel=0.2)
    assert likelihood.diagnostics["bias"] == pytest.approx(-0.5 * (1 / ess - 0.01).mean().item(), rel=1e-4)
    assert bits.value == pytest.approx(-log_p.mean().item() / 64 / math.log(2), rel=1e-6)
    assert reports[-1] == (100, 100)


def test_an_estimate_that_rests_on_a_few_draws_says_so_with_the_numbers():
    m = model(weight=20.0)
    found = PriorSampling(100, 1000)(m, examples(m))[0]
    assert found.diagnostics["ess_median"] < 5
    assert "of 100 draws of the prior: the estimate is worthless" in found.warning
    assert PriorSampling(100, 1000)(model(0.1), examples(m))[0].warning is None


def test_settings_that_are_not_positive_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        PriorSampling(0, 10)
