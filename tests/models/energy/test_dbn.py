import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit, logsumexp

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.likelihood.energy_likelihood import EnergyLikelihood
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.dbn import DBN
from dgm_run.models.energy.rbm import RBM
from tests.support import energy

SHAPE = (1, 1, 3)


def make(dtype=torch.float64, num_hidden=(2, 3)):
    torch.manual_seed(4)
    model = DBN(SHAPE, list(num_hidden), init_scale=1.0, visible_bias="logit_mean")
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "bias" in name:
                value.normal_()
        model.base_logits.normal_()
    return model.to(dtype)


def log_bernoulli(x, logits):
    return (x * log_expit(logits) + (1 - x) * log_expit(-logits)).sum(-1)


def log_p_unnormalised(model):
    """log sum over h_1 .. h_{L-1} of p(x | h_1) ... exp(-F_top(h_{L-1})) for every x, (2^D,), in NumPy."""
    w = energy.weights_of(model)
    h = energy.states(model.sizes[-2])
    log_h = h @ w["top.visible_bias"] + np.logaddexp(0, h @ w["top.weight"] + w["top.hidden_bias"]).sum(1)
    for i in reversed(range(len(model.layers))):
        below, above = energy.states(model.sizes[i]), energy.states(model.sizes[i + 1])
        logits = above @ w[f"layers.{i}.generation.weight"].T + w[f"layers.{i}.generation.bias"]
        log_h = logsumexp(log_bernoulli(below[:, None], logits[None]) + log_h[None], axis=1)
    return log_h


def log_p(model):
    found = log_p_unnormalised(model)
    return found - logsumexp(found)


@pytest.mark.parametrize("num_hidden", [(2, 3), (2, 3, 2)])
def test_partition_is_that_of_the_top(num_hidden):
    model = make(num_hidden=num_hidden)
    assert model.energy.log_partition().item() == pytest.approx(logsumexp(log_p_unnormalised(model)))


@pytest.mark.parametrize("num_hidden", [(2, 3), (2, 3, 2)])
def test_weighted_samples_are_unbiased(num_hidden):
    model = make(num_hidden=num_hidden)
    truth = np.exp(log_p_unnormalised(model))
    torch.manual_seed(0)
    w = model.log_weights(energy.visible_states(model), 50_000).exp().numpy()
    error = w.std(0) / 50_000**0.5
    assert (np.abs(w.mean(0) - truth) < 5 * error).all()
    assert (error > 1e-4 * truth).all()


def test_estimate_and_bound_are_reported():
    model = make()
    data = DataSplit(energy.visible_states(model), None, lambda x: x)
    torch.manual_seed(0)
    rows = {row.quantity: row for row in EnergyLikelihood(Exact(20), None, 20_000, 40_000)(model, data)}
    assert rows["log_likelihood"].value == pytest.approx(log_p(model).mean(), abs=0.02)
    assert rows["log_likelihood"].kind == "estimate"
    assert rows["elbo"].kind == "lower_bound"
    assert rows["elbo"].value < rows["log_likelihood"].value - 0.5
    assert rows["log_likelihood"].settings == {"num_samples": 20_000}


def test_samples_follow_the_density():
    model = make(torch.float32)
    energy.check_follows(model.sample(20_000, num_steps=200), torch.tensor(np.exp(log_p(model))))


def test_missing_pixels_follow_conditional():
    model = make(torch.float32)
    observed = torch.tensor([True, False, False]).view(SHAPE)
    given = np.exp(log_p(model)) * energy.states(3)[:, 0]
    torch.manual_seed(0)
    found = energy.after(200, model.iterate_completions(torch.ones(20_000, *SHAPE), observed))
    energy.check_follows(found, torch.tensor(given / given.sum()))


def test_mirrored_rbm_starts_at_likelihood():
    # p(h_1) of the top is then what the machine below has, and q its exact posterior: nothing scatters
    model = make(num_hidden=(4, 3))
    first = model.build_stage(0)
    with torch.no_grad():
        for value in first.model.parameters():
            value.normal_()
    first.finish()
    second = model.build_stage(1)
    second.model.initialize(second.prepare(energy.visible_states(model)))  # which has to leave the biases alone
    second.finish()
    x = energy.visible_states(model)
    expected = -first.model.free_energy(x).detach()
    torch.testing.assert_close(model.log_weights(x, 20), expected.expand(20, -1))


def test_other_sizes_start_small():
    model = make(num_hidden=(2, 5))
    stage = model.build_stage(1)
    x = torch.bernoulli(torch.full((1000, *SHAPE), 0.5, dtype=torch.float64))
    units = stage.prepare(x)
    assert units.shape == (1000, 2)
    assert set(units.unique().tolist()) <= {0.0, 1.0}
    stage.model.initialize(units)
    expected = torch.logit((units.sum(0) + 0.5) / 1001)
    torch.testing.assert_close(stage.model.visible_bias.detach(), expected)
    assert isinstance(stage.model, RBM)


def test_features_are_means_upon_means():
    model = make()
    w, x = energy.weights_of(model), energy.states(3)
    first = expit(x @ w["layers.0.recognition.weight"].T + w["layers.0.recognition.bias"])
    second = expit(first @ w["top.weight"] + w["top.hidden_bias"])
    found = model.features(energy.visible_states(model)).numpy()
    np.testing.assert_allclose(found, np.concatenate([first, second], 1))


def test_it_starts_at_the_means_of_the_data():
    model = make(torch.float32)
    x = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 1]]).view(3, *SHAPE)
    model.initialize(x)
    p = torch.tensor([3.5, 0.5, 2.5]) / 4
    torch.testing.assert_close(model.layers[0].generation.bias.detach(), p.logit())
    expected = (x.flatten(1) * p.log() + (1 - x.flatten(1)) * torch.log1p(-p)).sum(1)
    torch.testing.assert_close(model.log_baseline(x), expected)


def test_reconstructions_average_to_mean():
    model = make()
    w, h = energy.weights_of(model), energy.states(2)
    x = energy.states(3)[5]
    q = np.exp(log_bernoulli(h, x @ w["layers.0.recognition.weight"].T + w["layers.0.recognition.bias"]))
    expected = q @ expit(h @ w["layers.0.generation.weight"].T + w["layers.0.generation.bias"])
    torch.manual_seed(0)
    found = model.reconstruct(torch.tensor(x).view(1, *SHAPE).expand(100_000, *SHAPE)).flatten(1)
    assert (np.abs(found.mean(0).numpy() - expected) < 5 * found.std(0).numpy() / 100_000**0.5).all()
