import math

import numpy as np
import pytest
import torch

from dgm_run.data.dataset import Examples, LoadedDataset
from dgm_run.estimators.partition import Exact
from dgm_run.objectives.contrastive_divergence import ContrastiveDivergence
from tests.models import energy
from tests.models.test_rbm import make


def loaded(model):
    x = energy.visible_states(model)
    torch.manual_seed(0)
    split = [Examples(x[torch.randint(len(x), (n,))], None, lambda values: values.double()) for n in (90, 31)]
    return LoadedDataset(None, split[0], split[1], None)


def test_evaluation_reports_the_likelihood_of_the_validation_data_and_what_surrounds_it():
    model = make()
    data = loaded(model)
    found = ContrastiveDivergence(Exact(20), 0.0, None, 1, None).evaluate(model, data, batch_size=8)
    log_p = energy.log_f(model).log_softmax(0)
    valid, train = energy.index_of(data.valid.x), energy.index_of(data.train.x[:31])
    assert found["log_likelihood"] == pytest.approx(log_p[valid].mean().item())
    assert found["log_partition"] == pytest.approx(energy.log_f(model).logsumexp(0).item())
    assert found["free_energy_gap"] == pytest.approx((log_p[train].mean() - log_p[valid].mean()).item())
    base = energy.log_f(model, 0.0).log_softmax(0)[valid].mean().item()
    assert found["baseline"] == pytest.approx(base)
    assert found["hidden_activity"] == pytest.approx(model.features(data.valid.x).mean().item())


def test_the_reconstruction_is_measured_in_cross_entropy():
    model = make()
    with torch.no_grad():
        model.weight.zero_()  # then the reconstruction is the same for all
    data = loaded(model)
    p = model.visible_bias.detach().sigmoid().numpy()
    x = data.valid.x.flatten(1).numpy()
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    found = ContrastiveDivergence(Exact(20), 0.0, None, 1, None).evaluate(model, data, 100)
    assert found["reconstruction_cross_entropy"] == pytest.approx(expected)


def test_dead_and_saturated_units_are_counted():
    model = make()
    with torch.no_grad():
        model.weight.zero_()
        model.hidden_bias.copy_(torch.tensor([-20.0, 20.0, 0.0]))
    found = ContrastiveDivergence(Exact(20), 0.0, None, 1, None).evaluate(model, loaded(model), 100)
    assert found["dead_units"] == pytest.approx(1 / 3)
    assert found["saturated_units"] == pytest.approx(1 / 3)
    assert math.isfinite(found["log_likelihood"])
