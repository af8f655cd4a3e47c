import math

import numpy as np
import pytest
import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.rbm import RBM
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.contrastive_divergence import ContrastiveDivergence
from tests.models.energy import test_boltzmann, test_dbm, test_rbm, test_subspace_rbm
from tests.models.energy.test_rbm import make
from tests.support import energy


def make_data(model):
    x = energy.visible_states(model)
    torch.manual_seed(0)
    split = [DataSplit(x[torch.randint(len(x), (n,))], None, lambda values: values.double()) for n in (90, 31)]
    return LoadedDataset(None, split[0], split[1], None)


def test_evaluation_reports_likelihood():
    model = make()
    data = make_data(model)
    found = ContrastiveDivergence(Exact(20), 0.0, None, None, None, 0.0, 1, None).evaluate(model, data, batch_size=8)
    log_p = energy.log_f(model).log_softmax(0)
    valid, train = energy.index_of(data.valid.x), energy.index_of(data.train.x[:31])
    assert found["log_likelihood"] == pytest.approx(log_p[valid].mean().item())
    assert found["log_partition"] == pytest.approx(energy.log_f(model).logsumexp(0).item())
    assert found["free_energy_gap"] == pytest.approx((log_p[train].mean() - log_p[valid].mean()).item())
    base = energy.log_f(model, 0.0).log_softmax(0)[valid].mean().item()
    assert found["baseline"] == pytest.approx(base)
    assert found["weight_norm"] == pytest.approx(model.weight.square().sum(0).sqrt().mean().item())
    assert found["hidden_activity"] == pytest.approx(model.features(data.valid.x).mean().item())


def test_reconstruction_is_cross_entropy():
    model = make()
    with torch.no_grad():
        model.weight.zero_()  # then the reconstruction is the same for all
    data = make_data(model)
    p = model.visible_bias.detach().sigmoid().numpy()
    x = data.valid.x.flatten(1).numpy()
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean()
    found = ContrastiveDivergence(Exact(20), 0.0, None, None, None, 0.0, 1, None).evaluate(model, data, 100)
    assert found["reconstruction_cross_entropy"] == pytest.approx(expected)


def test_dead_and_saturated_are_counted():
    model = make()
    with torch.no_grad():
        model.weight.zero_()
        model.hidden_bias.copy_(torch.logit(torch.tensor([0.009, 0.991, 0.02])))
    found = ContrastiveDivergence(Exact(20), 0.0, None, None, None, 0.0, 1, None).evaluate(model, make_data(model), 100)
    assert found["dead_units"] == pytest.approx(1 / 3)
    assert found["saturated_units"] == pytest.approx(1 / 3)
    assert math.isfinite(found["log_likelihood"])


def objective(**settings):
    shared = {
        "weight_decay": 0.0,
        "max_norm": None,
        "centering_rate": None,
        "sparsity_target": None,
        "sparsity_cost": 0.0,
    }
    return ContrastiveDivergence(partition=Exact(20), num_steps=1, grow_every=None, **shared | settings)


def gradients(objective, model, x, state):
    torch.manual_seed(0)
    loss, _ = objective(model, x, Progress(torch.tensor(0.0), state))
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


@pytest.mark.parametrize(
    ("module", "centering_rate"),
    [(test_rbm, None), (test_rbm, 0.1), (test_subspace_rbm, None), (test_dbm, None), (test_dbm, 0.1)],
)
def test_sparsity_moves_hidden_biases(module, centering_rate):
    model = module.make()
    x = energy.visible_states(model)[2:7]
    plain, sparse = (
        objective(centering_rate=centering_rate, **s) for s in ({}, {"sparsity_target": 0.2, "sparsity_cost": 3.0})
    )
    state = sparse.init_state(model, energy.visible_states(model)[:2])
    before = state["activity"].clone()
    expected = gradients(plain, model, x, {k: v.clone() for k, v in state.items()})
    found = gradients(sparse, model, x, state)
    now = model.hidden_means(model.infer(x).preactivations).mean(0).detach()
    activity = 0.9 * before + 0.1 * now
    torch.testing.assert_close(state["activity"], activity)
    for name, value in found.items():
        pull = 3.0 * (activity - 0.2) if name == model.hidden_bias_name else torch.zeros(())
        torch.testing.assert_close(value - expected[name], pull.expand_as(value).to(value.dtype), msg=name)


def test_sparsity_reaches_its_target():
    torch.manual_seed(0)
    model, x = RBM((6,), 5, init_scale=0.1, visible_bias="zero"), torch.bernoulli(torch.full((100, 6), 0.5))
    sparse = objective(sparsity_target=0.1, sparsity_cost=5.0)
    state = sparse.init_state(model, x)
    for _ in range(500):
        found = gradients(sparse, model, x, state)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.sub_(found[name], alpha=0.1)
    assert (model.features(x).mean(0) - 0.1).abs().max() < 0.03


def test_max_norm_cuts_long_weights():
    for module in (test_rbm, test_dbm):
        model = module.make()
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        objective(max_norm=1.2).project_parameters(model)
        for name, value in model.named_parameters():
            norms = before[name].norm(dim=0) if "weight" in name else torch.zeros(())
            expected = before[name] * torch.where(norms > 1.2, 1.2 / norms, torch.ones(()).double())
            torch.testing.assert_close(value.detach(), expected)
        assert any((value.norm(dim=0) > 1.2).any() for name, value in before.items() if "weight" in name)


def test_sparsity_needs_hidden_units():
    model = test_boltzmann.make()
    with pytest.raises(ConfigError, match=r"Boltzmann has no hidden units: set objective.sparsity_target=null"):
        objective(sparsity_target=0.1).init_state(model, energy.visible_states(model))


@pytest.mark.parametrize(
    "settings", [{"max_norm": 0.0}, {"sparsity_target": 1.0}, {"sparsity_cost": -1.0}, {"weight_decay": -1.0}]
)
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        objective(**settings)


def test_dbm_validation_samples_hidden():
    model = test_dbm.make(scale=2.0)
    x = energy.visible_states(model).repeat(200, 1, 1, 1)
    data = LoadedDataset(None, *[DataSplit(x, None, lambda values: values)] * 2, None)
    torch.manual_seed(0)
    found = objective().evaluate(model, data, 400)
    exact = (test_dbm.log_f_of_pixels(model).mean() - model.log_partition()).item()
    bound = (-model.free_energy(x).mean() - model.log_partition()).item()
    assert found["elbo"] == pytest.approx(bound)
    assert bound + 0.01 < found["log_likelihood"] < exact + 0.01
