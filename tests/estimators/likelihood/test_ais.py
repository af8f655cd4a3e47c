import math

import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.models.energy.dbm import DBM
from dgm_run.models.energy.rbm import RBM
from tests.models.energy.test_rbm import make
from tests.support import energy


@pytest.mark.parametrize("schedule", ["linear", "sigmoid", "adaptive"])
def test_mean_weight_is_unbiased(schedule):
    model = make()
    torch.manual_seed(1)
    w = AIS(100_000, 6, schedule).log_weights(model).exp()
    truth = torch.exp(energy.log_f(model).logsumexp(0) - energy.log_f(model, 0.0).logsumexp(0))
    assert abs(w.mean() - truth) < 5 * w.std() / math.sqrt(len(w))
    assert w.std() > 0.1 * truth  # the weights scatter, so that a mean of their logs would be found out


def test_base_model_has_constant_weights():
    model = RBM((2, 3), 4, init_scale=0.0, visible_bias="logit_mean").double()
    model.initialize(torch.bernoulli(torch.full((50, 2, 3), 0.3, dtype=torch.float64)))
    found = AIS(20, 5, "linear")(model)
    assert found.value == pytest.approx(model.log_partition().item(), abs=1e-10)
    assert found.diagnostics["ais_log_weight_std"] < 1e-10
    assert found.diagnostics["ais_ess"] == pytest.approx(20)


def test_estimate_is_log_mean_weight():
    model = make()
    ais = AIS(50, 20, "linear")
    torch.manual_seed(5)
    w = ais.log_weights(model).exp().numpy()
    torch.manual_seed(5)
    found = ais(model)
    z0 = model.log_base_partition().item()
    assert found.value == pytest.approx(z0 + math.log(w.mean()))
    error = w.std(ddof=1) / w.mean() / math.sqrt(50)
    assert found.margin.below == pytest.approx(stats.t.ppf(0.975, 49) * error, rel=0.3)
    low, high = found.value - found.margin.below, found.value + found.margin.above
    assert (found.diagnostics["log_z_low"], found.diagnostics["log_z_high"]) == (low, high)
    assert found.diagnostics["ais_ess"] == pytest.approx(w.sum() ** 2 / (w**2).sum())


def block_diagonal(num_blocks, rows, columns):
    """A large RBM of many small ones, whose log Z is the sum of theirs."""
    torch.manual_seed(3)
    model = RBM((num_blocks * rows,), num_blocks * columns, init_scale=0.0, visible_bias="zero")
    with torch.no_grad():
        model.visible_bias.normal_()
        model.hidden_bias.normal_()
        for block in range(num_blocks):
            at = slice(block * rows, (block + 1) * rows), slice(block * columns, (block + 1) * columns)
            model.weight[at] = torch.randn(rows, columns)
    x, h = energy.states(rows), energy.states(columns)
    w, total = energy.weights_of(model), 0.0
    for block in range(num_blocks):
        visible, hidden = slice(block * rows, (block + 1) * rows), slice(block * columns, (block + 1) * columns)
        b, c = w["visible_bias"][visible], w["hidden_bias"][hidden]
        joint = x @ w["weight"][visible, hidden] @ h.T + (x @ b)[:, None] + h @ c
        total += np.logaddexp.reduce(joint.ravel())
    return model, total


def test_log_z_of_independent_machines():
    model, exact = block_diagonal(num_blocks=20, rows=7, columns=4)
    torch.manual_seed(0)
    found = AIS(100, 500, "linear")(model)
    assert found.value == pytest.approx(exact, abs=0.3)


@pytest.mark.slow
def test_log_z_at_full_scale():
    model, exact = block_diagonal(num_blocks=112, rows=7, columns=4)
    torch.manual_seed(0)
    found = AIS(100, 2000, "linear")(model)
    assert found.value == pytest.approx(exact, abs=0.5)


@pytest.mark.slow
def test_log_z_of_deep_machine_at_full_scale():
    """112 machines of 7-4-5 units side by side, whose log Z is a sum over the 16 states of their middle layers."""
    torch.manual_seed(3)
    num, sizes, exact = 112, (7, 4, 5), 0.0
    model = DBM((num * 7,), [num * 4, num * 5], init_scale=0.0, visible_bias="zero", mean_field_steps=1)
    middle = energy.states(4)
    with torch.no_grad():
        model.visible_bias.normal_()
        model.hidden_bias.normal_()
        for block in range(num):
            at = [slice(block * size, (block + 1) * size) for size in sizes]
            first, second = (torch.randn(sizes[i], sizes[i + 1]) for i in range(2))
            model.weights[0][at[0], at[1]], model.weights[1][at[1], at[2]] = first, second
            biases = [bias[where].double().numpy() for bias, where in zip(model.biases, at, strict=True)]
            below = np.logaddexp(0, biases[0] + middle @ first.double().numpy().T).sum(1)
            above = np.logaddexp(0, biases[2] + middle @ second.double().numpy()).sum(1)
            exact += np.logaddexp.reduce(middle @ biases[1] + below + above)
    torch.manual_seed(0)
    assert AIS(100, 2000, "linear")(model).value == pytest.approx(exact, abs=0.5)


def test_too_few_chains_are_refused():
    with pytest.raises(ValueError, match="num_chains"):
        AIS(1, 10, "linear")


def test_few_effective_chains_are_warned_of():
    torch.manual_seed(2)
    model = make()
    model.weight.data *= 3
    few, many = AIS(4, 100, "linear")(model), AIS(100, 100, "linear")(model)
    assert few.diagnostics["ais_ess"] > 1  # more than a tenth of the chains
    assert "of 4 chains" in few.warning
    assert "or num_chains, now 4" in few.warning
    assert many.warning is None


def test_equal_weights_give_no_warning():
    model = RBM((2, 3), 4, init_scale=0.0, visible_bias="logit_mean").double()
    model.initialize(torch.full((1, 2, 3), 0.5, dtype=torch.float64))
    found = AIS(2, 5, "linear")(model)
    assert found.margin == (0.0, 0.0)
    assert found.warning is None


def test_path_doubles_until_the_target():
    model = make()
    one_path = AIS(100, 2, "linear")(model)
    assert one_path.diagnostics["ais_temperatures"] == 2
    target = one_path.margin.stderr / 4
    found = AIS(100, 2, "linear", target_stderr=target, max_num_temperatures=10_000)(model)
    num = int(found.diagnostics["ais_temperatures"])
    assert found.margin.stderr <= target
    assert num > 2
    assert math.log2(num / 2).is_integer()
    assert found.settings == {
        "num_chains": 100,
        "num_temperatures": 2,
        "schedule": "linear",
        "target_stderr": target,
        "max_num_temperatures": 10_000,
    }


def test_path_ends_at_its_limit():
    found = AIS(100, 2, "linear", target_stderr=1e-9, max_num_temperatures=15)(make())
    assert found.diagnostics["ais_temperatures"] == 8
    assert AIS(100, 20, "linear", 1e-9, 15)(make()).diagnostics["ais_temperatures"] == 20


def test_progress_counts_the_paths_before():
    reports = []
    AIS(100, 2, "linear", 1e-9, 16)(make(), lambda done, total: reports.append((done, total)))
    starts = [0, 2, 6, 14]
    assert [done for done, _ in reports] == starts
    assert [total - done for done, total in reports] == [3, 5, 9, 17]


@pytest.mark.parametrize(
    ("target", "limit", "advice"),
    [
        (None, None, "raise num_temperatures to 6 or more"),
        (1e-9, 4, "raise max_num_temperatures to 6 or more"),
        (1e-9, 7, "raise max_num_temperatures to 12 or more"),  # the path has doubled once
    ],
)
def test_advice_is_a_longer_path(target, limit, advice):
    torch.manual_seed(2)
    model = make()
    model.weight.data *= 30
    assert advice in AIS(4, 3, "linear", target, limit)(model).warning


def test_target_without_limit_is_refused():
    with pytest.raises(ValueError, match="target_stderr = 0.1 needs max_num_temperatures"):
        AIS(100, 2, "linear", 0.1, None)
