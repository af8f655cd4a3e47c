import math

import numpy as np
import pytest
import torch
from scipy.stats import t

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.estimators.likelihood.prior_sampling import PriorSampling


def model(weight=1.0):
    torch.manual_seed(0)
    made = instantiate(dgm_run.compose("model=density_network", "decoder.hidden_dims=[]").model)
    with torch.no_grad():
        made.decoder.output.weight.mul_(weight)
    return made


def examples(m, n=25):
    return DataSplit(m.sample(n), None, to_float)


@pytest.mark.parametrize("max_batch_rows", [7, 1000])
def test_all_examples_share_the_draws(max_batch_rows, monkeypatch):
    m = model()
    data, reports, drawn, decode = examples(m), [], [], m.decode
    monkeypatch.setattr(m, "decode", lambda z: drawn.append(z) or decode(z))
    likelihood, bits = PriorSampling(100, max_batch_rows)(m, data, lambda *done: reports.append(done))
    monkeypatch.undo()
    z = torch.cat(drawn)
    assert len(z.unique(dim=0)) == 100
    log_px = torch.stack([m.decode(row).log_prob(data.x) for row in z]).double()
    log_p = log_px.logsumexp(0) - math.log(100)
    assert likelihood.value == pytest.approx(log_p.mean().item(), rel=1e-6)
    weights = log_px.softmax(0)
    ess = 1 / weights.square().sum(0)
    assert likelihood.diagnostics["ess_median"] == pytest.approx(ess.median().item(), rel=0.2)
    left_out = []
    for group in range(32):
        rest = [s for s in range(96) if s % 32 != group]  # four draws make no group of one size
        left_out.append((log_px[rest].logsumexp(0) - math.log(len(rest))).mean().item())
    stderr = math.sqrt(31 * np.var(left_out))
    assert likelihood.diagnostics["monte_carlo_stderr"] == pytest.approx(stderr, rel=1e-4)
    low, high = likelihood.computing_interval
    assert likelihood.value - low == pytest.approx(t.ppf(0.975, 31) * stderr, rel=1e-4)
    assert high - likelihood.value > t.ppf(0.975, 31) * stderr - likelihood.diagnostics["bias"]
    assert bits.value == pytest.approx(-log_p.mean().item() / 64 / math.log(2), rel=1e-6)
    assert reports[-1] == (100, 100)


def test_few_effective_draws_give_a_warning():
    m = model(weight=20.0)
    found = PriorSampling(100, 1000)(m, examples(m))[0]
    assert found.diagnostics["ess_median"] < 5
    assert "of 100 draws of the prior carry the weight" in found.warning
    assert PriorSampling(100, 1000)(model(0.1), examples(model(0.1)))[0].warning is None


def test_shared_error_matches_repetitions():
    m = model()
    data = examples(m, 40)
    found = [PriorSampling(400, 1000)(m, data)[0] for _ in range(200)]
    scatter = np.std([each.value for each in found])
    stated = np.mean([each.diagnostics["monte_carlo_stderr"] for each in found])
    assert stated == pytest.approx(scatter, rel=0.25)


def test_nonpositive_settings_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        PriorSampling(0, 10)
