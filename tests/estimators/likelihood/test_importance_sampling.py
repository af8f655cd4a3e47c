import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import t
from torch import Tensor, nn

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.importance_sampling import ImportanceSampling, RunningMean
from dgm_run.estimators.likelihood.weights import StreamingWeights
from dgm_run.models.base import ImportanceTerms, LatentVariableModel
from tests.support import exact

pytestmark = pytest.mark.usefixtures("double")


def examples(x: Tensor) -> DataSplit:
    return DataSplit(x, None, to_float)


def by_name(estimates: list) -> dict:
    return {estimate.quantity: estimate for estimate in estimates}


def sampler(num_samples: int, max_batch_rows: int, proposal: str = "posterior", prior_weight: float = 0.1):
    return ImportanceSampling(num_samples, max_batch_rows, proposal, prior_weight)


def evaluate(model: nn.Module, x: Tensor, num_samples: int, max_batch_rows: int = 1000, **proposal) -> dict:
    return by_name(sampler(num_samples, max_batch_rows, **proposal)(model, examples(x)))


class Scripted(LatentVariableModel):
    """Hands out the terms of a table (3, S, N) in order; example n is the number n. q(z | x) has the mean x."""

    def __init__(self, table: Tensor):
        super().__init__()
        self.table = table
        self.given = [0] * table.shape[2]
        self.calls = {"infer": 0, "latent_prior": 0}
        self.rows = []

    def infer(self, x: Tensor) -> Distribution:
        self.calls["infer"] += 1
        return DiagonalGaussian(x.flatten(1), torch.zeros(len(x), 1))

    def latent_prior(self) -> Distribution:
        self.calls["latent_prior"] += 1
        return StandardGaussian(1, torch.zeros(()))

    def decode(self, z: Tensor) -> Distribution:
        raise NotImplementedError

    def evaluate_terms(self, x: Tensor, q: Distribution, p: Distribution, num_samples: int) -> ImportanceTerms:
        columns = x.flatten().long().tolist()
        first = self.given[columns[0]]
        for column in columns:
            assert self.given[column] == first
            self.given[column] += num_samples
        self.rows.append(num_samples * len(x))
        assert first + num_samples <= self.table.shape[1]
        part = self.table[:, first : first + num_samples, columns]
        return ImportanceTerms(q, p, torch.zeros(num_samples, len(x), 1), *part)


NUM_SAMPLES, NUM_EXAMPLES = 37, 23


def make_scripted() -> tuple[Scripted, Tensor]:
    model = Scripted(2 * torch.randn(3, NUM_SAMPLES, NUM_EXAMPLES) - 50)
    return model, torch.arange(float(NUM_EXAMPLES)).unsqueeze(1)


@pytest.mark.parametrize("max_batch_rows", [1, 5, 23, 60, 1000])
def test_any_chunk_size_matches_the_formulas(max_batch_rows):
    model, x = make_scripted()
    found = by_name(sampler(NUM_SAMPLES, max_batch_rows)(model, examples(x)))
    assert model.given == [NUM_SAMPLES] * NUM_EXAMPLES
    assert model.calls == {"infer": math.ceil(NUM_EXAMPLES / min(max_batch_rows, 100)), "latent_prior": 1}
    assert max(model.rows) <= max_batch_rows

    log_px, log_pz, log_qz = model.table.numpy()
    log_w = log_px + log_pz - log_qz
    log_p = logsumexp(log_w, axis=0) - math.log(NUM_SAMPLES)
    expected = {
        "log_likelihood": log_p,
        "bits_per_dim": -log_p / math.log(2),
        "elbo": log_w.mean(0),
        "reconstruction": log_px.mean(0),
        "kl": (log_qz - log_pz).mean(0),
    }
    for name, values in expected.items():
        assert found[name].value == pytest.approx(values.mean(), rel=1e-12), name
        assert found[name].stderr == pytest.approx(values.std(ddof=1) / math.sqrt(NUM_EXAMPLES), rel=1e-9), name
        assert found[name].num_examples == NUM_EXAMPLES
        assert found[name].settings["num_samples"] == NUM_SAMPLES
    ess = 1 / (np.exp(log_w - logsumexp(log_w, axis=0)) ** 2).sum(0)
    assert found["log_likelihood"].diagnostics["ess_median"] == pytest.approx(np.quantile(ess, 0.5))
    assert found["log_likelihood"].diagnostics["ess_5_percent"] == pytest.approx(np.quantile(ess, 0.05))


def test_ragged_last_block_is_weighted():
    model = Scripted(torch.zeros(3, 2, 250))
    model.table[0, :, 200:] = 1.0  # the last block of 100 holds 50 examples
    x = torch.arange(250.0).view(-1, 1)
    found = by_name(sampler(2, 1000)(model, examples(x)))
    assert found["log_likelihood"].value == pytest.approx(50 / 250)
    assert found["log_likelihood"].stderr == pytest.approx(math.sqrt(0.2 * 0.8 / 249))


def test_bits_are_per_element_of_an_example():
    model = exact.factor_analysis(2, 12, full=True)
    x = torch.randn(9, 12)
    found = evaluate(_reshape_to_images(model), x.view(9, 1, 3, 4), 3)
    expected = exact.factor_analysis_log_p(model, x).mean().item()
    assert found["bits_per_dim"].value == pytest.approx(-expected / 12 / math.log(2))
    assert found["bits_per_dim"].unit == "bits"
    assert found["log_likelihood"].unit == "nats"


def _reshape_to_images(model: nn.Module) -> nn.Module:
    """The same model over images of 1 x 3 x 4."""
    model.posterior.encoder.event_dims = 3
    model.decoder.likelihood.shape = (1, 3, 4)
    return model


@pytest.mark.parametrize("full", [True, False])
def test_exact_posterior_gives_log_p(full):
    model, x = exact.factor_analysis(2, 4, full), torch.randn(30, 4)
    log_p = exact.factor_analysis_log_p(model, x)
    found = evaluate(model, x, 7, max_batch_rows=50)
    for name in ("log_likelihood", "elbo"):
        assert found[name].value == pytest.approx(log_p.mean().item(), abs=1e-10)
        assert found[name].stderr == pytest.approx(log_p.std().item() / math.sqrt(30))
    assert found["log_likelihood"].diagnostics["ess_median"] == pytest.approx(7)
    assert found["elbo"].value == pytest.approx(found["reconstruction"].value - found["kl"].value)


@pytest.mark.parametrize("prior", ["standard", "mixture", "vampprior"])
def test_few_samples_give_the_iwae_bound(prior):
    model = exact.toy(prior)
    bound = exact.toy_expectation(model, 3, lambda log_w: log_w.exp().mean(0).log()).item()
    elbo = exact.toy_expectation(model, 1, lambda log_w: log_w[0]).item()
    found = evaluate(model, torch.full((20_000, 1), exact.TOY_X), 3, max_batch_rows=5000)
    for name, expected in (("log_likelihood", bound), ("elbo", elbo)):
        assert found[name].stderr < 0.01
        assert abs(found[name].value - expected) < 5 * found[name].stderr


def test_mean_weight_is_unbiased():
    model, x = exact.toy("mixture"), torch.full((50_000, 1), exact.TOY_X)
    weights = StreamingWeights(2, len(x), x.device)
    with torch.no_grad():
        for sample in range(2):
            weights.add(model.log_weights(x, 1), sample)
    p = weights.log_mean.exp()
    stderr = p.std().item() / math.sqrt(len(p))
    expected = math.exp(exact.toy_log_p(model))
    assert stderr < 0.01 * expected
    assert abs(p.mean().item() - expected) < 5 * stderr
    assert abs(weights.log_mean.mean().item() - exact.toy_log_p(model)) > 0.02  # its logarithm is not


@pytest.mark.parametrize("max_batch_rows", [7, 100, 10_000])
def test_many_samples_reach_the_likelihood(max_batch_rows):
    model = exact.bernoulli_vae(2, "standard")
    x = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 0]])
    expected = exact.bernoulli_log_p(model, x).mean()
    assert evaluate(model, x, 4000, max_batch_rows)["log_likelihood"].value == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("num_samples", [2, 50, 600])
@pytest.mark.parametrize("max_batch_rows", [7, 64, 1000])
def test_decoder_rows_are_bounded(num_samples, max_batch_rows):
    model, rows = exact.bernoulli_vae(2, "standard"), []
    model.decoder.register_forward_hook(lambda module, inputs, output: rows.append(inputs[0].shape[:-1].numel()))
    evaluate(model, torch.zeros(20, 3), num_samples, max_batch_rows)
    assert max(rows) <= max_batch_rows
    assert sum(rows) == 20 * num_samples


@pytest.mark.parametrize("max_batch_rows", [1, 30, 1000])
def test_progress_reaches_the_total(max_batch_rows):
    reports = []
    estimator = sampler(2, max_batch_rows)
    estimator(exact.toy("standard"), examples(torch.zeros(250, 1)), lambda *args: reports.append(args))
    assert [total for _, total in reports] == [500] * len(reports)  # rows of the decoder
    done = [count for count, _ in reports]
    assert done == sorted(set(done))
    assert done[-1] == 500


def test_error_of_draws_matches_repetitions():
    model, x = exact.toy("mixture"), torch.full((300, 1), exact.TOY_X)
    found = [evaluate(model, x, 12, max_batch_rows=10_000) for _ in range(100)]
    for name in ("log_likelihood", "elbo", "reconstruction", "kl"):
        half = [row[name].value - row[name].computing_interval[0] for row in found]  # above it reaches by the bias too
        scatter = np.std([row[name].value for row in found])
        assert np.mean(half) / t.ppf(0.975, 299) == pytest.approx(scatter, rel=0.2), name


def test_interval_extends_by_the_bias():
    model, x = exact.toy("mixture"), torch.full((20_000, 1), exact.TOY_X)
    found = evaluate(model, x, 10, max_batch_rows=10_000)
    likelihood, bits = found["log_likelihood"], found["bits_per_dim"]
    bias = likelihood.value - exact.toy_log_p(model)
    assert likelihood.diagnostics["bias"] == pytest.approx(bias, rel=0.3)
    for low, high in (likelihood.interval, likelihood.computing_interval):
        further = (high - likelihood.value) - (likelihood.value - low)
        assert -likelihood.diagnostics["bias"] < further < -1.5 * likelihood.diagnostics["bias"]
    low, high = bits.interval
    assert bits.value - low == pytest.approx((likelihood.interval[1] - likelihood.value) / math.log(2))
    assert high - bits.value == pytest.approx((likelihood.value - likelihood.interval[0]) / math.log(2))


def test_single_draw_has_no_computing_error():
    found = evaluate(exact.toy("mixture"), torch.randn(20, 1), 1)
    assert {row.computing_interval for row in found.values()} == {None}
    assert found["log_likelihood"].diagnostics["bias"] is None
    assert found["log_likelihood"].interval is not None


def test_narrow_proposal_warns_of_its_tail():
    model, x = exact.factor_analysis(2, 6, full=False), torch.randn(60, 6)
    assert evaluate(model, x, 300)["log_likelihood"].warning is None
    with torch.no_grad():
        model.posterior.head.bias[2:] -= 2.5  # variances a twelfth of what they should be: k = 1 - 1/12
    found = evaluate(model, x, 300)["log_likelihood"]
    assert found.diagnostics["pareto_k_high"] > 0.5
    assert "heavy tails (Pareto k above 0.7)" in found.warning
    assert "take more samples (estimators.importance_sampling.num_samples), or " in found.warning


def test_dominant_draw_gives_a_warning():
    model, x = make_scripted()
    model.table[0, 0] += 100.0
    assert (
        "carries the weight of the median example, so the bias is unreliable"
        in evaluate(model, x, 37)["log_likelihood"].warning
    )


def test_few_finite_weights_give_a_warning():
    model, x = make_scripted()
    model.table[1:] = -math.inf
    assert "have a finite weight, so the bias is unknown" in evaluate(model, x, 37)["log_likelihood"].warning


def test_running_mean_may_be_infinite():
    running = RunningMean()
    running.add(torch.tensor([[-math.inf, 1.0], [2.0, 3.0]]))
    assert running.mean.tolist() == [-math.inf, 2.0]


def test_running_means_match_all_at_once():
    values = 1e5 + torch.randn(50, 4)
    running = RunningMean()
    for chunk in values.split([1, 30, 19]):
        running.add(chunk)
    running.add(values[:0])
    np.testing.assert_allclose(running.mean.numpy(), values.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(running.variance_of_mean.numpy(), values.numpy().var(0, ddof=1) / 50, rtol=1e-6)


def test_unit_with_varying_mean_is_active():
    model = exact.factor_analysis(4, 4, full=False)
    # the means of the units have standard deviations 0, just below 0.1, just above, and 1 about a far centre
    with torch.no_grad():
        model.posterior.head.weight.zero_()
        model.posterior.head.weight[:4].copy_(torch.diag(torch.tensor([0.0, 0.099, 0.101, 1.0])))
        model.posterior.head.bias[:4].copy_(torch.tensor([5.0, 0.0, 0.0, 100.0]))
    x = torch.tensor([-1.0, 0.0, 1.0]).unsqueeze(1).expand(3, 4)  # variance 1
    active = evaluate(model, x, 1)["active_units"]
    assert (active.value, active.unit, active.kind) == (2.0, "of 4", "estimate")
    assert active.settings == {"min_variance": 0.01}
    assert active.stderr is None


def test_noisy_means_make_no_unit_active():
    class Wide(DiagonalGaussian):
        mean = Distribution.mean  # of draws, as where there is no closed form

    model = exact.factor_analysis(2, 4, full=False)
    model.infer = lambda x: Wide(torch.stack([torch.zeros(len(x)), x[:, 0]], -1), torch.full((len(x), 2), 2.0))
    active = evaluate(model, torch.randn(2000, 4), 1)["active_units"]
    assert active.value == 1  # the noise alone has variance exp(2) / 256, above the threshold


def test_one_example_has_no_error():
    model, x = exact.factor_analysis(2, 4, full=True), torch.randn(1, 4)
    found = evaluate(model, x, 5)
    assert found["log_likelihood"].value == pytest.approx(exact.factor_analysis_log_p(model, x).item())
    assert found["log_likelihood"].stderr is None
    assert found["active_units"].value == 0


def test_bound_is_labelled_without_a_graph():
    model = exact.toy("vampprior")
    found = evaluate(model, torch.randn(10, 1), 5)
    assert list(found) == ["log_likelihood", "bits_per_dim", "elbo", "reconstruction", "kl", "active_units"]
    assert found["elbo"].kind == "lower_bound"
    assert found["log_likelihood"].kind == "estimate"
    assert all(isinstance(estimate.value, float) for estimate in found.values())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "settings", [{"num_samples": 0, "max_batch_rows": 10}, {"num_samples": 10, "max_batch_rows": 0}]
)
def test_nonpositive_settings_are_refused(settings):
    with pytest.raises(ValueError, match="(num_samples|max_batch_rows) = 0 must be positive"):
        sampler(**settings)
    overrides = (f"estimators.importance_sampling.{name}={value}" for name, value in settings.items())
    with pytest.raises(ConfigError, match="(num_samples|max_batch_rows) = 0 must be positive"):
        instantiate(compose(*overrides).estimators)


def test_dequantised_bits_count_levels():
    # a uniform density over [0, 1] gives each of 16 levels the mass 1/16: four bits
    model = Scripted(torch.zeros(3, 1, 3))
    data = DataSplit(torch.arange(3.0).unsqueeze(1).expand(3, 5), None, to_float, log_bin_width=-math.log(16))
    model.infer = lambda x: DiagonalGaussian(x[:, :1], torch.zeros(len(x), 1))
    model.evaluate_terms = lambda x, q, p, n: ImportanceTerms(q, p, x[None], *torch.zeros(3, n, len(x)))
    assert by_name(sampler(1, 10)(model, data))["bits_per_dim"].value == pytest.approx(4.0)
