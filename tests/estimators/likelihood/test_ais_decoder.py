import math

import pytest
import torch
from torch.distributions import MultivariateNormal

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.ais_decoder import AISDecoder
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from tests.support import exact

pytestmark = pytest.mark.usefixtures("double")

SETTINGS = {"num_examples": None, "num_chains": 16, "num_temperatures": 300, "num_leapfrog": 3, "num_simulated": 0,
            "target_acceptance": 0.65, "schedule": "sigmoid", "start": "prior", "max_batch_rows": 5000,
            "scale": "model"}  # fmt: skip


def linear(num_pixels=16, latent_dim=2, variance=0.1):
    torch.manual_seed(0)
    model = FactorAnalysis((num_pixels,), latent_dim, 1e-3, 0.0).double()
    with torch.no_grad():
        model.raw_log_var.fill_(math.log(variance))
    return model


def evaluate(model, x, **settings):
    torch.manual_seed(1)
    found = AISDecoder(**(SETTINGS | settings))(model, DataSplit(x, None, to_float))
    return {estimate.quantity: estimate for estimate in found}


def test_linear_decoder_bounds_are_tight():
    model = linear()
    x = model.sample(100)
    found = evaluate(model, x, num_simulated=100)
    exact_log_p = model.log_prob(x).mean().item()
    assert abs(found["log_likelihood"].value - exact_log_p) < 0.1
    assert 0.6 < found["log_likelihood"].diagnostics["acceptance"] < 0.7
    assert found["simulated_low"].value < found["simulated_high"].value
    assert found["gap"].value == pytest.approx(found["simulated_high"].value - found["simulated_low"].value)
    assert found["gap"].value < 0.2
    assert (found["simulated_low"].kind, found["simulated_high"].kind) == ("lower_bound", "upper_bound")
    assert found["log_likelihood"].warning is None


def test_path_doubles_until_the_gap_meets_the_target():
    model = linear(16, 3, 0.05)
    x = model.sample(20)
    path = {"num_temperatures": 5, "num_simulated": 20, "num_leapfrog": 1}
    first = evaluate(model, x, **path)
    found = evaluate(model, x, **path, target_gap=first["gap"].value / 4, max_num_temperatures=640)
    assert first["log_likelihood"].diagnostics["temperatures"] == 5
    assert 5 < found["log_likelihood"].diagnostics["temperatures"] <= 640
    assert found["gap"].value < first["gap"].value / 4
    assert found["log_likelihood"].settings["target_gap"] == first["gap"].value / 4
    limited = evaluate(model, x, **path, target_gap=1e-6, max_num_temperatures=39)
    assert limited["log_likelihood"].diagnostics["temperatures"] == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_gap": 0.1, "num_simulated": 5}, "target_gap = 0.1 needs max_num_temperatures"),
        ({"target_gap": 0.1, "max_num_temperatures": 9}, "target_gap = 0.1 needs num_simulated of 2 or more, now 0"),
    ],
)
def test_target_that_cannot_be_checked_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AISDecoder(**(SETTINGS | settings))


@pytest.mark.slow
def test_more_temperatures_close_the_gap():
    model = linear(64, 10, 0.05)
    x = model.sample(20)
    gaps = [evaluate(model, x, num_temperatures=num, num_simulated=20)["gap"].value for num in (50, 150, 450)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    wide = evaluate(model, x, num_temperatures=10, num_simulated=20)["gap"]
    assert wide.value > 5
    assert wide.warning.startswith(f"the bounds lie {wide.value:.0f} nats apart")
    assert evaluate(model, x, num_temperatures=150, num_simulated=20, schedule="linear")["gap"].value > gaps[1]


def test_exact_start_needs_one_temperature():
    model = linear()
    x = model.sample(30)
    found = evaluate(model, x, start="encoder", num_temperatures=1, num_chains=3)
    assert found["log_likelihood"].value == pytest.approx(model.log_prob(x).mean().item(), abs=1e-9)
    assert found["log_likelihood"].diagnostics["ess_median"] == pytest.approx(3)


@pytest.mark.parametrize("start", ["prior", "encoder"])
def test_nonlinear_decoder_is_quadrature(start):
    model = exact.bernoulli_vae(2, "mixture")
    x = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 0]])
    found = evaluate(model, x, start=start, num_temperatures=100, num_chains=200)
    expected = exact.bernoulli_log_p(model, x).mean()
    assert found["log_likelihood"].value == pytest.approx(expected, abs=0.02)


def test_examples_are_random_rows_bounded():
    model, rows = linear(), []
    decode = model.decode
    model.decode = lambda z: rows.append(z.shape[:-1].numel()) or decode(z)
    reports = []
    estimator = AISDecoder(
        **(SETTINGS | {"num_examples": 40, "num_chains": 4, "num_temperatures": 5, "max_batch_rows": 50})
    )
    x = torch.cat([torch.zeros(500, 16), torch.ones(500, 16)])
    estimate = estimator(model, DataSplit(x, None, to_float), lambda *done: reports.append(done))[0]
    assert estimate.num_examples == 40
    assert estimate.stderr > 0  # some of both halves
    assert max(rows) <= 50
    assert reports[-1] == (5, 5)
    assert len(reports) == 5 * (1 + 4)  # four blocks of twelve examples at most, after the pilot


def test_start_without_density_is_refused():
    cfg = dgm_run.compose("posterior=planar_flow", "model.latent_dim=2", "decoder.hidden_dims=[5]")
    cell, data = instantiate(cfg.model).double(), make_data(torch.zeros(3, 1, 8, 8))
    with pytest.raises(ConfigError, match=r"estimators.ais_decoder.start: .* use start=prior"):
        AISDecoder(**(SETTINGS | {"start": "encoder"})).check(cell, data)
    decoder = instantiate(dgm_run.compose("model=density_network", "decoder.hidden_dims=[5]").model).double()
    with pytest.raises(ConfigError, match=r"start: this model has no encoder: use start=prior"):
        AISDecoder(**(SETTINGS | {"start": "encoder"})).check(decoder, data)
    with pytest.raises(ConfigError, match=r"scale: the decoder has no Gaussian noise: set scale=model"):
        AISDecoder(**(SETTINGS | {"scale": "fit"})).check(cell, data)
    for settings in ({"start": "encoder"}, {"scale": "fit"}, {"scale": 0.1}):
        AISDecoder(**(SETTINGS | settings)).check(linear(), make_data(torch.zeros(3, 16)))


def make_data(x):
    return LoadedDataset(None, *[DataSplit(x, None, to_float)] * 3)


@torch.no_grad()
def test_fitted_noise_maximises_likelihood():
    model, truth = linear(variance=0.4), linear(variance=0.1)
    torch.manual_seed(2)
    x = truth.sample(300)
    data = DataSplit(x, None, to_float)
    settings = SETTINGS | {"scale": "fit", "num_chains": 4, "num_temperatures": 200}
    torch.manual_seed(3)
    fitted = AISDecoder(**settings).fit(model, data, data)

    def log_p(scale):
        p = model.density
        covariance = p.weight @ p.weight.T + scale**2 * torch.eye(16)
        return MultivariateNormal(p.bias, covariance).log_prob(x).mean().item()

    best = max(torch.linspace(0.2, 0.7, 501).tolist(), key=log_p)
    assert fitted.fitted_scale == pytest.approx(best, rel=0.02)
    found = {each.quantity: each for each in fitted(model, data)}["log_likelihood"]
    assert found.value == pytest.approx(log_p(fitted.fitted_scale), abs=0.25)
    assert found.diagnostics["fitted_scale"] == fitted.fitted_scale
    fixed = AISDecoder(**(settings | {"scale": 0.5}))
    torch.manual_seed(1)
    assert fixed(model, data)[0].value == pytest.approx(log_p(0.5), abs=0.25)


@pytest.mark.parametrize(
    "settings",
    [{"num_chains": 0}, {"num_leapfrog": 0}, {"target_acceptance": 1.0}, {"num_simulated": -1}, {"scale": 0.0}],
)
def test_out_of_range_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must"):
        AISDecoder(**(SETTINGS | settings))


def test_only_whole_splits_state_computing():
    model = linear()
    x = model.sample(20)
    settings = {"num_chains": 4, "num_temperatures": 10}
    some = evaluate(model, x, num_examples=10, num_simulated=5, **settings)
    assert evaluate(model, x, **settings)["log_likelihood"].computing_interval
    assert all(each.computing_interval is None for each in some.values())
    assert all(each.interval for each in some.values())
