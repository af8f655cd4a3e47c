from dataclasses import replace

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.corruptions import BitFlip, GaussianNoise, MissingAtRandom, MissingHalf, MissingRows, SaltAndPepper
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.importance_sampling import ImportanceSampling
from dgm_run.estimators.imputation.imputation import Imputation, _new_generator
from dgm_run.estimators.imputation.pseudo_gibbs import PseudoGibbs
from dgm_run.models.latent.gan import GAN
from tests.support import truth

pytestmark = pytest.mark.usefixtures("double")


class Half(MissingHalf):
    """Half of a vector too, which a run would leave out."""

    def check(self, shape):
        pass


def setting(num=40):
    model = truth.factor_analysis()
    torch.manual_seed(0)
    x = model.sample(num)
    return model, DataSplit(x, None, to_float), DataSplit(model.sample(500), None, to_float)


def evaluate(estimator, model, test, train):
    torch.manual_seed(1)
    fitted = estimator.fit(model, train, train)
    return fitted, {(row.quantity, row.estimator): row for row in fitted(model, test)}


def test_errors_and_log_p_match_gaussian():
    model, test, train = setting()
    half = Half("right")
    fitted, rows = evaluate(Imputation({"missing_half": half}, {"exact": Exact()}, 100, 19, 100), model, test, train)
    squares, log_p = [], []
    for x in test.x.flatten(1).numpy():
        x_tilde = x.copy()
        x_tilde[3:] = torch.nan
        mean, _, log_p_observed = truth.compute_conditional(model, x_tilde)
        squares.append((mean - x)[3:] ** 2)
        log_p.append(log_p_observed)
    row = rows["mse_missing_half", "exact"]
    squares = torch.tensor(np.array(squares))
    assert row.value == pytest.approx(squares.mean().item(), rel=1e-6)
    assert row.stderr == pytest.approx((squares.mean(1).std() / 40**0.5).item(), rel=1e-6)
    assert row.diagnostics["coverage"] == pytest.approx(0.9, abs=0.08)
    assert row.diagnostics["nominal"] == pytest.approx(0.9)
    assert row.diagnostics["mse_of_draws"] == pytest.approx(2 * row.value, rel=0.5)
    likelihood = rows["log_likelihood_seen_missing_half", "exact"]
    assert (likelihood.kind, likelihood.value) == ("exact", pytest.approx(torch.tensor(log_p).mean().item()))

    x, known = train.x.flatten(1), test.x.flatten(1)
    by_mean = (x.mean(0)[3:] - known[:, 3:]).square().mean().item()
    assert rows["mse_missing_half", "mean"].value == pytest.approx(by_mean, rel=1e-6)
    nearest = torch.cdist(known[:, :3], x[:, :3]).argmin(1)
    by_neighbour = (x[nearest, 3:] - known[:, 3:]).square().mean().item()
    assert rows["mse_missing_half", "nearest_neighbour"].value == pytest.approx(by_neighbour, rel=1e-6)
    assert set(fitted.pictures(model)) == {"imputed_missing_half"}
    assert fitted.pictures(model)["imputed_missing_half"].shape == (32, 1, 1, 6)
    labels = ["example", "given", "exact, mean", "exact, draw"]
    assert fitted.row_labels() == {"imputed_missing_half": labels}


def test_noise_targets_all_elements():
    model, test, train = setting()
    noise = GaussianNoise(0.5)
    estimator = Imputation({"gaussian_noise": noise}, {"exact": Exact()}, 100, 5, 100)
    _, rows = evaluate(estimator, model, test, train)
    assert "psnr" not in rows["mse_gaussian_noise", "exact"].diagnostics  # of values without a peak
    low, high = test.x.min(), test.x.max()
    test, train = (DataSplit(((each.x - low) / (high - low)).clamp(0, 1), None, to_float) for each in (test, train))
    model.bias.data.sub_(low.item()).div_((high - low).item())
    for name, parameter in model.named_parameters():
        if "weight" in name:
            parameter.data.div_((high - low).item())
    _, scaled = evaluate(replace(estimator, corruptions={"gaussian_noise": GaussianNoise(0.1)}), model, test, train)
    row = scaled["mse_gaussian_noise", "exact"]
    assert row.diagnostics["psnr"] == pytest.approx(-10 * torch.tensor(row.value).log10().item())
    assert rows["mse_gaussian_noise", "as_seen"].value == pytest.approx(0.25, rel=0.3)
    assert rows["mse_gaussian_noise", "exact"].value < rows["mse_gaussian_noise", "as_seen"].value


def test_binary_pixels_have_binary_scores():
    torch.manual_seed(0)
    model = truth.binary_vae().double()
    test, train = (DataSplit(model.sample(n), None, to_float) for n in (30, 100))
    estimator = Imputation({"missing_half": Half("left")}, {"chain": PseudoGibbs(30, 10)}, 20, 3, 100)
    _, rows = evaluate(estimator, model, test, train)
    row = rows["mse_missing_half", "chain"]
    assert row.num_examples == 20
    assert {"nll", "f1", "mse_of_draws"} == set(row.diagnostics)
    assert 0 < row.value < 0.3


def test_unsupported_cases_are_refused():
    data = instantiate(dgm_run.compose().dataset).load()
    estimator = Imputation({"gaussian_noise": GaussianNoise(0.5)}, {"exact": Exact()}, 20, 3, 100)
    with pytest.raises(ConfigError, match="GaussianNoise takes continuous data, and these are binary: leave it out by"):
        estimator.check(truth.binary_vae(), data)
    estimator = Imputation({"bit_flip": BitFlip(0.5)}, {"exact": Exact()}, 20, 3, 100)
    with pytest.raises(ConfigError, match="no method imputes bit_flip with VAE"):
        estimator.check(truth.binary_vae(), data)
    gan = instantiate(dgm_run.compose("model=gan").model)
    assert isinstance(gan, GAN)
    whole = instantiate(dgm_run.compose("estimators=[imputation]").estimators).popitem()[1]
    whole.check(truth.binary_vae(), data)
    with pytest.raises(ValueError, match="num_draws and num_table_draws at least two"):
        Imputation({}, {}, 20, 1, 100)


def test_single_draws_give_a_warning():
    doubt = {"ess_median": 1.2}
    without_encoder = instantiate(dgm_run.compose("model=density_network").model)
    estimator = Imputation({}, {}, 20, 3, 100)
    assert estimator._describe_doubt(without_encoder, doubt).endswith("also of the chains: the model has no q(z | x)")
    assert estimator._describe_doubt(truth.binary_vae(), doubt).endswith("trust the chains")
    assert estimator._describe_doubt(truth.binary_vae(), {"ess_median": 20.0}) is None


def test_corrupted_data_are_imputed_as_given():
    data = instantiate(dgm_run.compose("dataset/corrupt=missing_half").dataset).load()
    assert isinstance(data, LoadedDataset)
    estimator = Imputation({"bit_flip": BitFlip(0.5)}, {"chain": PseudoGibbs(30, 10)}, 5, 3, 100)
    model = instantiate(dgm_run.compose("model.latent_dim=2").model).double().eval()
    _, rows = evaluate(estimator, model, data.test, data.train)
    assert {name for name, _ in rows} == {"mse_as_given"}
    mean = rows["mse_as_given", "mean"]
    train, test = data.train, data.test.uncorrupted
    torch.manual_seed(1)
    torch.randperm(len(train))
    chosen = torch.randperm(360)[:5]
    guess = train.batch(torch.randperm(len(train))).isnan()  # always the lower half, of which nothing is known
    assert guess[:, :, 4:].all()
    truth_of_half = test.batch(chosen)[:, :, 4:]
    assert mean.value == pytest.approx((truth_of_half - 0.5).square().mean().item())


def test_salt_and_pepper_targets_replaced():
    model, test, train = setting()
    estimator = Imputation({"salt": SaltAndPepper(0.4)}, {"exact": Exact()}, 100, 19, 100)
    _, rows = evaluate(estimator, model, test, train)
    drawn = SaltAndPepper(0.4).draw(40, (1, 1, 6), _new_generator("salt"))
    index = torch.randperm(40, generator=_new_generator("examples"))
    replaced, truth = drawn >= 0, test.x[index]
    mean = train.x.mean(0).expand_as(truth)
    assert rows["mse_salt", "mean"].value == pytest.approx((mean - truth)[replaced].square().mean().item())
    as_seen = (drawn.double() - truth)[replaced].square().mean().item()
    assert rows["mse_salt", "as_seen"].value == pytest.approx(as_seen)
    assert rows["mse_salt", "exact"].value < rows["mse_salt", "mean"].value
    assert 0.75 < rows["mse_salt", "exact"].diagnostics["coverage"] < 0.98  # of what was replaced alone


def test_models_impute_the_same_elements():
    model, test, train = setting()
    other = truth.factor_analysis()
    other.bias.data.zero_()
    sets = {"a": MissingAtRandom(0.3), "b": MissingAtRandom(0.3)}
    found = []
    for each, methods, seed in (
        (model, {"exact": Exact()}, 1),
        (other, {"exact": Exact(), "chain": PseudoGibbs(5, 1)}, 2),
    ):
        fitted = Imputation(sets, methods, 20, 2, 100).fit(each, train, train)
        torch.manual_seed(seed)
        rows = {(row.quantity, row.estimator): row.value for row in replace(fitted, shown={})(each, test)}
        found.append([rows[f"mse_{name}", "nearest_neighbour"] for name in sets])
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_numbers_carry_what_they_depend_on():
    torch.manual_seed(0)
    model = truth.binary_vae().double()
    test, train = (DataSplit(model.sample(n), None, to_float) for n in (30, 100))
    methods = {"sampled": ImportanceSampling(20, 100), "chain": PseudoGibbs(30, 10)}
    _, rows = evaluate(Imputation({"half": Half("left")}, methods, 20, 3, 100), model, test, train)
    expected = {"half": "side left", "num_draws": 3, "num_samples": 20}
    assert rows["mse_half", "sampled"].settings == rows["log_likelihood_seen_half", "sampled"].settings == expected
    assert rows["mse_half", "chain"].settings == {
        "half": "side left", "num_draws": 3, "num_steps": 30, "burn_in": 10
    }  # fmt: skip
    assert 1 <= rows["log_likelihood_seen_half", "sampled"].diagnostics["ess_median"] <= 20


def test_more_draws_than_steps_are_refused():
    with pytest.raises(ValueError, match=r"num_draws = 21 exceeds the 20 steps of chain after its burn-in"):
        Imputation({}, {"chain": PseudoGibbs(30, 10)}, 20, 21, 100)


def test_regions_are_left_out_of_vectors():
    _, test, train = setting()
    estimator = Imputation({"rows": MissingRows(0.5), "random": MissingAtRandom(0.5)}, {"exact": Exact()}, 20, 3, 100)
    _, rows = evaluate(estimator, truth.factor_analysis(), test, train)
    assert ("mse_random", "exact") in rows
    assert ("mse_rows", "exact") not in rows


def test_vectors_refuse_image_corruptions():
    overrides = ("dataset=arrays", "dataset.source.path=x", "dataset.shape=[6]")
    protocol = instantiate(dgm_run.compose(*overrides).dataset)
    data = LoadedDataset(protocol, *setting()[1:], setting()[1])
    estimator = Imputation({"rows": MissingRows(0.5)}, {"exact": Exact()}, 20, 3, 100)
    with pytest.raises(ConfigError, match=r"imputation.corruptions: all of them need images"):
        estimator.check(truth.factor_analysis(), data)
    with pytest.raises(ConfigError, match=r"MissingRows needs images, and \[6\] is none: use missing_at_random"):
        instantiate(dgm_run.compose(*overrides, "dataset/corrupt=missing_rows").dataset)
