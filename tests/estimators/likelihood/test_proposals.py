import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.full_gaussian import FullGaussian
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.importance_sampling import ImportanceSampling
from dgm_run.estimators.likelihood.proposals import choose_prior_draws, has_lighter_tails, weigh_defensive_samples
from tests.support import exact

pytestmark = pytest.mark.usefixtures("double")

CPU = torch.device("cpu")
SMALL = ("model.latent_dim=2", "decoder.hidden_dims=[5]", "encoder.hidden_dims=[5]")


def make_model(*overrides):
    torch.manual_seed(0)
    return instantiate(dgm_run.compose(*overrides).model).double().eval()


def examples(x):
    return DataSplit(x, None, to_float)


@pytest.mark.parametrize(("num_samples", "weight"), [(10, 0.1), (37, 0.1), (500, 0.05), (8, 0.5)])
def test_prior_draws_have_their_share(num_samples, weight):
    torch.manual_seed(0)
    chosen = torch.stack([choose_prior_draws(num_samples, weight, CPU) for _ in range(20_000)]).double()
    counts = chosen.sum(1)
    assert counts.max() - counts.min() <= 1
    stderr = math.sqrt(weight * (1 - weight) / 20_000)
    assert (chosen.mean(0) - weight).abs().max().item() < 5 * stderr


@torch.no_grad()
def test_weights_match_the_mixture_in_order():
    model = exact.toy("mixture")
    x, from_prior = torch.randn(4, 1), torch.arange(200) % 4 == 1
    q, p = model.infer(x), model.latent_prior()
    drawn = []
    decode = model.decode
    model.decode = lambda z: drawn.append(z) or decode(z)
    log_w, terms = weigh_defensive_samples(model, x, q, p, 0.25, from_prior)
    z = torch.empty(200, 4, 1)
    z[~from_prior], z[from_prior] = drawn[0][:150], drawn[0][150:]  # those of q are decoded first
    mixture = 0.75 * q.log_prob(z).exp() + 0.25 * p.log_prob(z).exp()
    expected = decode(z).log_prob(x) + p.log_prob(z) - mixture.log()
    torch.testing.assert_close(log_w, expected)
    torch.testing.assert_close(terms.z, z[~from_prior])
    torch.testing.assert_close(terms.log_w, model.decode(terms.z).log_prob(x) + p.log_prob(terms.z) - terms.log_qz)


@torch.no_grad()
def test_a_mode_that_q_misses_is_found():
    model, x = exact.toy("mixture"), torch.full((300, 1), exact.TOY_X)
    model.prior.mean.copy_(torch.tensor([[-8.0], [0.5]]))
    model.decoder.output.weight.fill_(0.01)  # x tells next to nothing of z: both modes of the prior stay
    model.posterior.head.weight.zero_()
    model.posterior.head.bias.copy_(torch.tensor([0.5, 0.0]))
    expected = exact.toy_log_p(model)
    settings = {"num_samples": 400, "max_batch_rows": 10_000, "prior_weight": 0.1}
    found = {
        name: ImportanceSampling(proposal=name, **settings)(model, examples(x))[0]
        for name in ("posterior", "defensive")
    }
    assert found["posterior"].value < expected - 0.2  # it has lost a mode, and does not know it
    assert found["posterior"].computing_interval[1] < expected - 0.1
    assert found["defensive"].value == pytest.approx(expected, abs=0.01)
    assert found["defensive"].settings["proposal"] == "defensive, posterior with 0.1 of the prior"
    assert "proposal" not in found["posterior"].settings


@torch.no_grad()
def test_elbo_is_the_same_for_both_proposals():
    model, x = exact.toy("mixture"), torch.full((20_000, 1), exact.TOY_X)
    expected = exact.toy_expectation(model, 1, lambda log_w: log_w[0]).item()
    rows = {each.quantity: each for each in ImportanceSampling(10, 10_000, "defensive", 0.3)(model, examples(x))}
    assert rows["elbo"].stderr < 0.01
    assert abs(rows["elbo"].value - expected) < 5 * rows["elbo"].stderr
    assert rows["elbo"].value == pytest.approx(rows["reconstruction"].value - rows["kl"].value)


@pytest.mark.parametrize("prior", ["stick_breaking", "objective"])
@torch.no_grad()
def test_defensive_weights_are_bounded(prior):
    model = make_model(f"prior={prior}", *SMALL)
    x = model.sample(3)
    log_w, _ = weigh_defensive_samples(
        model, x, model.infer(x), model.latent_prior(), 0.1, choose_prior_draws(5000, 0.1, CPU)
    )
    assert log_w.max().item() < math.log(10)  # of binary x the likelihood is at most one


@pytest.mark.parametrize(
    ("posterior", "part"),
    [("planar_flow", "posterior"), ("radial_flow", "posterior"), ("gaussian_process", "posterior")],
)
def test_q_without_density_is_refused(posterior, part):
    model = make_model(f"posterior={posterior}", *SMALL)
    data = LoadedDataset(None, *[examples(torch.zeros(3, 1, 8, 8))] * 3)
    estimator = ImportanceSampling(100, 100, "defensive", 0.1)
    with pytest.raises(ConfigError, match=rf"importance_sampling.proposal: .* this {part} .* set proposal=posterior"):
        estimator.check(model, data)
    ImportanceSampling(100, 100, "posterior", 0.1).check(model, data)


@pytest.mark.parametrize("posterior", ["gaussian", "full_gaussian", "iaf", "kumaraswamy", "stein_particles"])
def test_other_posteriors_are_taken(posterior):
    prior = "stick_breaking" if posterior == "kumaraswamy" else "standard"
    model = make_model(f"posterior={posterior}", f"prior={prior}", *SMALL)
    data = LoadedDataset(None, *[examples(torch.zeros(3, 1, 8, 8))] * 3)
    estimator = ImportanceSampling(20, 100, "defensive", 0.1)
    estimator.check(model, data)
    found = estimator(model, data.test)[0]
    assert math.isfinite(found.value)
    if posterior == "stein_particles":
        expected = "defensive, gaussian fitted to 500 draws with 0.1 of the prior"
        assert found.settings["proposal"] == expected


@pytest.mark.parametrize(
    ("overrides", "is_lighter"),
    [
        (("prior=stick_breaking", "posterior=gaussian"), True),
        (("prior=stick_breaking", "posterior=full_gaussian"), True),
        (("prior=stick_breaking", "posterior=householder_flow"), True),
        (("prior=stick_breaking", "posterior=kumaraswamy"), False),
        (("prior=standard", "posterior=gaussian"), False),
        (("prior=mixture", "posterior=gaussian"), False),
        (("prior=standard", "posterior=kumaraswamy"), False),
        (("model=hvae", "prior=stick_breaking", "posterior=gaussian"), True),
        (("model=hvae", "prior=stick_breaking", "posterior=kumaraswamy"), False),
        (("model=dlgm", "prior=stick_breaking", "posterior=kumaraswamy"), True),  # its upper level is Gaussian
        (("model=dlgm", "prior=standard", "posterior=gaussian"), False),
    ],
)
def test_tails_are_compared_level_by_level(overrides, is_lighter):
    model = make_model(*overrides, "decoder.hidden_dims=[5]")
    x = torch.zeros(2, 1, 8, 8)
    assert has_lighter_tails(model.infer(x).proposal(), model.latent_prior()) == is_lighter


def test_lighter_tails_have_no_variance():
    # by quadrature over ever longer ranges: E_q[(p / q)^2] = integral of p^2 / q
    p = make_model("prior=stick_breaking", *SMALL).latent_prior()

    def log_moment(log_q, bound):
        z = torch.arange(-bound, bound, 0.01)
        log_p = p.log_prob(torch.stack([z, torch.zeros_like(z)], 1))
        return (2 * log_p - log_q(z)).logsumexp(0).item()

    for scale in (1.0, 3.0):
        wide = DiagonalGaussian(torch.zeros(1), torch.full((1,), 2 * math.log(scale)))
        moments = [log_moment(lambda z, wide=wide: wide.log_prob(z.unsqueeze(1)), 30 * scale * i) for i in (1, 2, 3)]
        assert moments[1] > moments[0] + 100
        assert moments[2] > moments[1] + 100
    logistic = [log_moment(lambda z: -z.abs() - 2 * torch.log1p(torch.exp(-z.abs())), bound) for bound in (30, 60)]
    assert logistic[1] == pytest.approx(logistic[0], abs=1e-6)


def test_lighter_tails_give_a_warning():
    x = torch.zeros(5, 1, 8, 8)
    warned, bounded = (
        ImportanceSampling(10, 100, name, 0.1)(make_model("prior=stick_breaking", *SMALL), examples(x))[0]
        for name in ("posterior", "defensive")
    )
    assert "the weights have infinite variance" in warned.warning
    assert "infinite variance" not in (bounded.warning or "")
    paper = make_model("prior=stick_breaking", "posterior=kumaraswamy", *SMALL)
    assert "infinite variance" not in (
        ImportanceSampling(10, 100, "posterior", 0.1)(paper, examples(x))[0].warning or ""
    )


@pytest.mark.parametrize(
    ("num_samples", "prior_weight", "message"),
    [
        (9, 0.1, "take 10 samples or more, or proposal=posterior"),
        (100, 0.0, "prior_weight = 0.0 must lie above 0"),
        (100, 0.6, "be at most 0.5"),
    ],
)
def test_bad_mixture_settings_are_refused(num_samples, prior_weight, message):
    with pytest.raises(ValueError, match=message):
        ImportanceSampling(num_samples, 100, "defensive", prior_weight)


def test_full_gaussian_has_gaussian_tails():
    assert FullGaussian(torch.zeros(2), torch.eye(2)).exponential_tails == (False, False)
