import math

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.config.compose import compose, instantiate
from dgm_run.data.corruptions import BitFlip, GaussianNoise, MissingAtRandom, MissingHalf
from dgm_run.decoders.mlp import MLPDecoder
from dgm_run.encoders.table import TableEncoder
from dgm_run.errors import ConfigError
from dgm_run.likelihoods.mixed import MixedLikelihood
from dgm_run.models.corrupted import CorruptedModel, ExactCorruptedModel, build_corrupted_model
from dgm_run.models.latent.vae import VAE
from dgm_run.objectives.iwae import IWAE
from dgm_run.posteriors.gaussian import GaussianPosterior
from dgm_run.priors.standard import StandardPrior
from dgm_run.runner.run_folder import load_model
from tests.support import energy, truth
from tests.support.tables import COLUMNS
from tests.support.tiny import SHORT, TINY

MISSING = MissingAtRandom(0.5)


@torch.no_grad()
def test_its_bounds_are_of_what_is_seen():
    model = CorruptedModel(truth.binary_vae(), MISSING)
    p, _ = truth.integrate_over_z(model.model, {0: 1, 2: 0})
    torch.manual_seed(0)
    x_tilde = truth.OBSERVED.expand(400, -1, -1, -1)
    bounds = [-IWAE(k, "standard")(model, x_tilde)[0].item() for k in (1, 20, 500)]
    assert bounds[0] < bounds[1] - 0.01
    assert bounds[1] < math.log(p)
    assert bounds[2] == pytest.approx(math.log(p), abs=0.01)


@torch.no_grad()
@pytest.mark.parametrize("corrupt", [MissingHalf("left"), BitFlip(0.2)])
def test_observations_have_mass_one(corrupt):
    model = CorruptedModel(truth.binary_vae(), corrupt)
    x = torch.tensor(energy.states(4), dtype=torch.float32).view(-1, 1, 1, 4)
    x_tilde = corrupt(x).nan_to_num(-1).unique(dim=0) if isinstance(corrupt, MissingHalf) else x
    x_tilde = torch.where(x_tilde < 0, torch.nan, x_tilde)
    torch.manual_seed(0)
    w = model.log_weights(x_tilde, 20_000).exp().sum(1)  # one estimate of the mass for every sample
    assert abs(w.mean() - 1) < 5 * w.std() / math.sqrt(len(w))


@torch.no_grad()
def test_a_linear_gaussian_stays_exact():
    model = build_corrupted_model(truth.factor_analysis(), GaussianNoise(0.6))
    assert isinstance(model, ExactCorruptedModel)
    torch.manual_seed(0)
    x_tilde = model.corrupt(model.sample(4))
    expected = [truth.compute_conditional(model.model, x.flatten().numpy(), 0.6)[2] for x in x_tilde]
    assert model.log_prob(x_tilde).numpy() == pytest.approx(np.array(expected), abs=1e-9)
    log_w = model.log_weights(x_tilde, 3)
    assert log_w.numpy() == pytest.approx(np.tile(expected, (3, 1)), abs=1e-9)


def test_what_is_not_seen_teaches_nothing():
    model = CorruptedModel(truth.binary_vae(), MissingHalf("right"))
    x = model.corrupt(torch.ones(5, 1, 1, 4))
    IWAE(5, "standard")(model, x)[0].backward()
    gradient = model.model.decoder.output.bias.grad
    assert (gradient[2:] == 0).all()
    assert (gradient[:2] != 0).all()


def test_initial_means_are_observed_means():
    model = truth.factor_analysis(4).float()
    x = torch.tensor([[1.0, torch.nan, torch.nan, 2.0], [3.0, 4.0, torch.nan, 2.5]]).view(2, 1, 1, 4)
    CorruptedModel(model, MISSING).initialize(x)
    assert model.bias.tolist() == [2.0, 4.0, 0.0, 2.25]


def test_complete_data_models_are_refused():
    rbm = instantiate(compose("model=rbm", "model.num_hidden=4").model)
    with pytest.raises(ConfigError, match=r"dataset/corrupt: RBM needs complete data: choose model=vae"):
        build_corrupted_model(rbm, MISSING)
    pixelcnn = instantiate(compose("decoder=pixelcnn", "decoder.network.channels=2", "model.latent_dim=2").model)
    with pytest.raises(ConfigError, match=r"PixelByPixel are not independent: choose decoder=mlp"):
        build_corrupted_model(pixelcnn, MISSING)


def test_run_learns_from_missing_values(tmp_path):
    overrides = (*TINY, "dataset/corrupt=missing_at_random", "objective=iwae", "objective.num_samples=2",
                 "estimators=[importance_sampling,imputation]", "estimators.imputation.num_examples=20")  # fmt: skip
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path / "run")
    assert "seen through missing at random (probability 0.5), drawn with seed 0" in found["preprocessing"]
    rows = {(row["quantity"], row["estimator"]): row for row in found["estimates"]}
    assert rows["log_likelihood", "importance_sampling"]["value"] < 0
    assert ("mse_as_given", "mean") in rows
    assert ("mse_as_given", "pseudo_gibbs") not in rows  # its encoder has never seen a complete example
    assert (tmp_path / "run" / "imputed_as_given").is_dir()
    model = load_model(tmp_path / "run")
    assert isinstance(model, CorruptedModel)
    assert model.sample(3).shape == (3, 1, 8, 8)
    from dgm_run.runner.evaluate_again import evaluate

    again = evaluate(dgm_run.compose(*overrides), tmp_path / "run")["estimates"]
    assert {(row["quantity"], row["estimator"]): row for row in again}[
        "log_likelihood", "importance_sampling"
    ]["value"] == rows["log_likelihood", "importance_sampling"]["value"]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=factor_analysis",), "trainer: EMTrainer needs complete data: choose trainer=gradient"),
        (("model=factor_analysis", "trainer=gradient", "estimators=[parzen]"),
         "parzen: Parzen needs complete data: drop it, or evaluate with estimators=[exact]"),
        (("estimators=[sample_quality]",), "sample_quality: SampleQuality needs complete data: drop it"),
        (("model=rbm",), "dataset/corrupt: RBM needs complete data"),
    ],
)  # fmt: skip
def test_what_needs_complete_data_is_refused(overrides, message, tmp_path):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        dgm_run.run(dgm_run.compose(*SHORT, "dataset/corrupt=missing_half", *overrides), tmp_path)


@pytest.fixture
def table_vae():
    """A VAE with one latent dimension of binary and categorical columns and a count."""
    columns = [COLUMNS[0], *COLUMNS[2:4]]
    torch.manual_seed(0)
    decoder = MLPDecoder(1, [4], "tanh", MixedLikelihood(columns, "gaussian", "poisson", 0.0, 0.001))
    return VAE(
        1, StandardPrior(1), GaussianPosterior(TableEncoder(columns, [4], "tanh"), 1, [-6.0, 2.0]), decoder
    ).double()


def integrate_table(model, x):
    """Computes p(x) of complete rows, (N, D), by a sum over a grid of z."""
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64).unsqueeze(1)
    density = torch.exp(-0.5 * z.squeeze(1).square()) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    return torch.stack([(model.decode(z).log_prob(row).exp() * density).sum() for row in x])


@torch.no_grad()
def test_missing_columns_are_summed_out(table_vae):
    """Importance samples against a sum over all values of the missing columns, each integrated over z."""
    model = CorruptedModel(table_vae, MISSING)
    complete = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0), torch.arange(60.0)).double()
    p = integrate_table(table_vae, complete)
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    for x_tilde in ([1, torch.nan, 2], [torch.nan, 0, torch.nan], [0, 2, torch.nan], [torch.nan] * 3):
        row = torch.tensor(x_tilde, dtype=torch.float64)
        expected = p[((complete == row) | row.isnan()).all(1)].sum()
        torch.manual_seed(0)
        estimate = model.log_weights(row.unsqueeze(0), 20_000).exp().mean()
        assert estimate.item() == pytest.approx(expected.item(), rel=0.02)


@torch.no_grad()
def test_table_encoders_read_missing_columns(table_vae):
    model = CorruptedModel(table_vae, MISSING)
    rows = torch.tensor([[1, torch.nan, 2], [1, 0, 2]], dtype=torch.float64)
    q = model.infer(rows)
    assert q.mean.isfinite().all()
    assert abs(q.mean[0] - q.mean[1]) > 1e-3
