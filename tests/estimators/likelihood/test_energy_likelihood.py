import numpy as np
import pytest
import torch

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.energy_likelihood import EnergyLikelihood, Gap
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.models.energy.rbm import RBM
from tests.models.energy import test_dbm, test_dbn
from tests.models.energy.test_rbm import make
from tests.support import energy


def examples(model, n=50):
    torch.manual_seed(0)
    x = energy.visible_states(model)
    return DataSplit(x[torch.randint(len(x), (n,))], None, lambda values: values.double())


def evaluate(model, data, partition, max_batch_rows=7, reverse_ais=None):
    rows = EnergyLikelihood(partition, reverse_ais, 10, max_batch_rows)(model, data)
    return {row.quantity: row for row in rows}


def test_exact_likelihood_is_normalised():
    model = make()
    data = examples(model)
    log_p = energy.log_f(model).log_softmax(0)[energy.index_of(data.x)]
    row = evaluate(model, data, Exact(20))["log_likelihood"]
    assert row.value == pytest.approx(log_p.mean().item())
    assert row.stderr == pytest.approx(log_p.std().item() / 50**0.5)
    assert (row.kind, row.estimator, row.num_examples) == ("exact", "exact", 50)


def test_bits_and_baseline_share_examples():
    model = make()
    data = examples(model)
    rows = evaluate(model, data, Exact(20))
    assert rows["bits_per_dim"].value == pytest.approx(-rows["log_likelihood"].value / 6 / np.log(2))
    base = energy.log_f(model, 0.0).log_softmax(0)[energy.index_of(data.x)]
    assert rows["baseline"].value == pytest.approx(base.mean().item())
    assert rows["baseline"].baseline.log_p.mean().item() == pytest.approx(base.mean().item())
    assert rows["log_partition"].value == pytest.approx(model.log_partition().item())


def test_estimated_log_z_gives_an_estimate():
    model = make()
    row = evaluate(model, examples(model), AIS(10, 20, "linear"))["log_likelihood"]
    assert (row.kind, row.estimator) == ("estimate", "ais")
    assert row.settings == {"num_chains": 10, "num_temperatures": 20, "schedule": "linear"}
    assert {"log_z_low", "log_z_high", "ais_ess"} <= set(row.diagnostics)


def test_only_a_collapsed_model_warns():
    model = make()
    with torch.no_grad():
        model.weight.zero_()  # one hidden unit turns all pixels on or off, each as often
        model.weight[:, 0] = 4.0
        model.visible_bias.fill_(-2.0)
        model.hidden_bias.copy_(torch.tensor([-12.0, 0.0, 0.0]))
    data = DataSplit(model.sample(2000, 200).float(), None, to_float)
    model, model.is_mean_initialized = model.float(), False
    model.initialize(data.x)  # sets the base alone
    assert evaluate(model, data, Exact(20), 500)["log_likelihood"].warning is None
    with torch.no_grad():
        model.weight.zero_()
        model.visible_bias.copy_(model.base_logits)
    warning = evaluate(model, data, Exact(20), 500)["log_likelihood"].warning
    assert warning.startswith("collapsed: no better than independent pixels")


@pytest.mark.parametrize(("start", "is_advised"), [("zero", True), ("logit_mean", False)])
def test_biases_at_the_means_are_not_advised(start, is_advised):
    model = RBM((2, 2), 3, 0.0, start)
    data = examples(model)
    model.initialize(data.x.float())
    with torch.no_grad():
        model.visible_bias.copy_(model.base_logits)
    warning = evaluate(model.double(), data, Exact(20))["log_likelihood"].warning
    assert "train longer, or change optimizer.lr" in warning
    assert ("model.visible_bias=logit_mean" in warning) is is_advised


def test_estimates_have_conservative_side():
    model = make()
    data = examples(model, 300)
    conservative = RAISE(num_examples=200, num_chains=1, num_temperatures=3, schedule="linear")
    torch.manual_seed(0)
    rows = evaluate(model, data, AIS(100, 3, "linear"), 100, conservative)
    row, optimistic = rows["log_likelihood_conservative"], rows["log_likelihood"]
    exact = evaluate(model, data, Exact(20), 100, conservative)
    assert "log_likelihood_conservative" not in exact
    assert row.value == pytest.approx(optimistic.value - row.diagnostics["raise_gap"])
    assert row.value < exact["log_likelihood"].value
    assert row.stderr > exact["log_likelihood"].stderr
    assert (row.kind, row.estimator, row.num_examples) == ("estimate", "raise", 300)
    assert row.settings == {"gap_examples": 200, "num_chains": 1, "num_temperatures": 3, "schedule": "linear"}


def test_reverse_path_doubles_until_the_target():
    model = make()
    data = examples(model, 300)

    def anneal(target_gap, limit):
        path = RAISE(300, 1, 1, "linear", target_gap, limit)
        return evaluate(model, data, AIS(100, 200, "linear"), 100, path)["log_likelihood_conservative"]

    short = anneal(None, None)
    assert short.diagnostics["raise_temperatures"] == 1
    long = anneal(short.diagnostics["raise_gap"] / 4, 4096)
    assert 1 < long.diagnostics["raise_temperatures"] <= 4096
    assert long.diagnostics["raise_gap"] < short.diagnostics["raise_gap"] / 4
    assert long.settings["target_gap"] == short.diagnostics["raise_gap"] / 4
    assert anneal(1e-9, 9).diagnostics["raise_temperatures"] == 8


def test_progress_counts_the_reverse_paths_before():
    model = make()
    reports = []
    likelihood = EnergyLikelihood(AIS(10, 1, "linear"), RAISE(5, 1, 1, "linear", 1e-9, 8), 100, 100)
    likelihood(model, examples(model, 5), lambda done, total: reports.append(3 * done / total - 2))
    shares = [share for share in reports if share >= 0]
    assert shares[-4:] == pytest.approx([0, 1 / 4, 3 / 8, 7 / 16])


def test_gap_of_one_example_has_no_error():
    assert Gap(0.05, None, 1, 10).is_at_most(0.1)
    assert not Gap(0.05, 0.04, 100, 10).is_at_most(0.1)
    assert Gap(0.05, 0.02, 100, 10).is_at_most(0.1)
    assert Gap(5.0, 1.0, 100, 10).is_at_most(None)
    assert not Gap(-0.05, 0.04, 100, 10).is_at_most(0.1)  # reverse annealing may lie above


def test_bits_are_per_grey_level():
    model = make()
    data = examples(model)
    data.log_bin_width = -np.log(256)
    rows = evaluate(model, data, Exact(20))
    nats = rows["log_likelihood"].value / 6 - np.log(256)
    assert rows["bits_per_dim"].value == pytest.approx(-nats / np.log(2))


def test_few_effective_chains_give_a_warning():
    model = make()
    with torch.no_grad():
        model.weight.mul_(8)
    torch.manual_seed(0)
    warning = evaluate(model, examples(model), AIS(100, 2, "linear"))["log_likelihood"].warning
    assert "of 100 chains carry the weight of log Z, so its error may exceed the stated one" in warning
    assert "chains" not in (evaluate(make(), examples(make()), AIS(100, 100, "linear"))["log_likelihood"].warning or "")


def test_ess_is_that_of_the_median_example():
    model = test_dbm.make(scale=2.0)
    data = DataSplit(energy.visible_states(model)[:5], None, lambda x: x)
    torch.manual_seed(0)
    seen = evaluate(model, data, Exact(20), 50)["log_likelihood"].diagnostics["ess_median"]
    w = model.log_weights(data.x, 100_000).exp()
    infinite = 10 * w.mean(0).square() / w.square().mean(0)
    assert seen == pytest.approx(infinite.median().item(), rel=0.05)
    assert 1 < seen < 9.99


def test_stated_error_holds_that_of_log_z():
    model = make()
    data = examples(model)
    torch.manual_seed(0)
    log_z = AIS(10, 20, "linear")(model)
    torch.manual_seed(0)
    rows = evaluate(model, data, AIS(10, 20, "linear"))
    exact = evaluate(model, data, Exact(20))["log_likelihood"]
    row = rows["log_likelihood"]
    assert exact.computing_interval is None
    assert row.computing_interval == pytest.approx((row.value - log_z.margin.above, row.value + log_z.margin.below))
    assert row.stderr == pytest.approx(np.hypot(exact.stderr, log_z.margin.stderr))
    bits = rows["bits_per_dim"]
    assert bits.computing_interval == pytest.approx([-value / 6 / np.log(2) for value in row.computing_interval[::-1]])
    partition = rows["log_partition"]
    assert partition.interval == pytest.approx((log_z.diagnostics["log_z_low"], log_z.diagnostics["log_z_high"]))


def test_disagreement_warns_and_widens():
    model = make()
    with torch.no_grad():
        model.weight.mul_(3)
    data = examples(model, 300)
    torch.manual_seed(0)
    rows = evaluate(model, data, AIS(1000, 200, "linear"), 100, RAISE(200, 1, 2, "linear"))
    row, low = rows["log_likelihood"], rows["log_likelihood_conservative"]
    assert "reverse annealing lies" in row.warning
    assert "below annealed importance sampling" in row.warning
    assert row.computing_interval[0] < low.value < row.value
    assert low.computing_interval[0] < low.value < low.computing_interval[1]


def test_reverse_ais_above_ais_warns():
    """Draws that the model hardly makes, from a path so short that the annealed model is another one."""
    model = make()
    with torch.no_grad():
        model.weight.mul_(6)
    x = energy.visible_states(model)
    data = DataSplit(x[energy.log_f(model).argsort()[:20]].repeat(10, 1, 1, 1), None, lambda values: values)
    torch.manual_seed(0)
    rows = evaluate(model, data, AIS(1000, 200, "linear"), 100, RAISE(200, 10, 2, "linear"))
    exact = evaluate(model, data, Exact(20))["log_likelihood"].value
    assert rows["log_likelihood_conservative"].value > exact + 1
    assert "above annealed importance sampling" in rows["log_likelihood_conservative"].warning
    assert rows["log_likelihood"].computing_interval[0] < exact < rows["log_likelihood"].computing_interval[1]


def test_one_example_says_nothing_of_a_gap():
    model = make()
    torch.manual_seed(0)
    rows = evaluate(model, examples(model, 5), AIS(10, 20, "linear"), 100, RAISE(1, 1, 2, "linear"))
    row = rows["log_likelihood_conservative"]
    assert (row.stderr, row.interval, row.computing_interval) == (None, None, None)
    assert "reverse" not in (rows["log_likelihood"].warning or "")


def test_gap_leaves_out_the_error_of_q():
    """A gap of x and hidden units drawn from q alone would be that of the ELBO, however long the path."""
    model = test_dbn.make()
    data = DataSplit(energy.visible_states(model).repeat(25, 1, 1, 1), None, lambda x: x)

    def anneal(num_temperatures):
        torch.manual_seed(0)
        reverse_ais = RAISE(200, 1, num_temperatures, "linear")
        rows = EnergyLikelihood(AIS(500, 200, "linear"), reverse_ais, 100, 10_000)(model, data)
        return {row.quantity: row for row in rows}

    rows = anneal(500)
    gap = rows["log_likelihood_conservative"].diagnostics["raise_gap"]
    assert rows["log_likelihood"].value - rows["elbo"].value > 0.3
    assert abs(gap) < 0.05
    assert anneal(1)["log_likelihood_conservative"].diagnostics["raise_gap"] > 0.1


def test_conservative_side_has_the_error_of_its_draws():
    """Evaluations by few samples of the hidden units scatter by more than the gap does."""
    model = test_dbn.make()
    data = DataSplit(energy.visible_states(model).repeat(25, 1, 1, 1), None, lambda x: x)
    rows = []
    for seed in range(20):
        torch.manual_seed(seed)
        found = EnergyLikelihood(AIS(500, 200, "linear"), RAISE(200, 1, 500, "linear"), 4, 10_000)(model, data)
        rows.append({row.quantity: row for row in found}["log_likelihood_conservative"])
    values = torch.tensor([row.value for row in rows])
    half = torch.tensor([row.computing_interval[1] - row.computing_interval[0] for row in rows]).mean() / 2
    assert half > 1.5 * values.std()


def test_elbo_has_the_error_of_its_draws():
    model = test_dbm.make(scale=2.0)
    data = DataSplit(energy.visible_states(model)[:5], None, lambda x: x)
    torch.manual_seed(0)
    values = [evaluate(model, data, Exact(20), 50)["elbo"] for _ in range(400)]
    spread = torch.tensor([row.value for row in values]).std().item()
    low, high = zip(*(row.computing_interval for row in values), strict=True)
    assert np.mean(np.subtract(high, low)) / 2 / 1.96 == pytest.approx(spread, rel=0.15)
