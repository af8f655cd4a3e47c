"""A loaded run scores, encodes, decodes, completes, classifies and draws, in the units of its data."""

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.errors import CheckpointError, ConfigError, DataError, UserError
from tests.support import own_data
from tests.support.own_data import FACTORS, density_in_data_units, draw_columns, gaussian_log_density
from tests.support.tiny import TINY, TINY_ENERGY, TINY_EXACT, TINY_GAN, TINY_LABELLED


def train(folder, *overrides):
    results = dgm_run.run(dgm_run.compose(*overrides), folder)
    return dgm_run.load(folder), results


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return train(tmp_path_factory.mktemp("vae"), *TINY)[0]


@pytest.fixture(scope="module")
def test_images(vae):
    return vae.data.test.batch(slice(0, 20))


@pytest.fixture
def factors(tmp_path):
    """A factor analysis of columns in very different units, its folder and its test examples."""
    x = draw_columns()
    rows, _ = own_data.run(own_data.save(tmp_path, x), tmp_path, *FACTORS, "trainer.max_epochs=20")
    return dgm_run.load(tmp_path / "run"), tmp_path / "run", x[-30:], rows


def test_log_likelihood_equals_the_density(factors):
    model, folder, test, rows = factors
    found = model.log_likelihood(test)
    assert (found.kind, found.stderr.tolist()) == ("exact", [0.0] * 30)
    assert found.values.mean().item() == pytest.approx(rows["log_likelihood"]["value"], rel=1e-6)
    expected = [gaussian_log_density(row[None], *density_in_data_units(folder)) for row in test]
    assert found.values.numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_missing_values_leave_the_density_of_the_rest(factors):
    model, folder, test, _ = factors
    test = test.copy()
    test[::2, 1] = np.nan
    expected = [gaussian_log_density(row[None], *density_in_data_units(folder)) for row in test]
    assert model.log_likelihood(test).values.numpy() == pytest.approx(np.array(expected), rel=1e-4)


def test_imputed_values_are_conditional_means(factors):
    model, folder, test, _ = factors
    given = test.copy()
    given[:, 3] = np.nan
    mean, covariance = density_in_data_units(folder)
    slope = np.linalg.solve(covariance[:3, :3], covariance[:3, 3])
    expected = mean[3] + (test[:, :3] - mean[:3]) @ slope
    found = model.impute(given).numpy()
    assert found[:, 3] == pytest.approx(expected, rel=1e-3, abs=1.0)  # the column has a scale of 1,000
    assert np.array_equal(found[:, :3], test[:, :3].astype(found.dtype))


def test_samples_have_the_units_of_the_data(factors):
    model, folder, _, _ = factors
    mean, covariance = density_in_data_units(folder)
    samples = model.sample(4000, seed=0).numpy()
    error = np.sqrt(np.diag(covariance) / 4000)
    assert np.all(np.abs(samples.mean(0) - mean) < 5 * error)
    assert model.decode(model.encode(samples[:7])).shape == (7, 4)


def test_stated_error_is_the_scatter_over_seeds(vae, test_images):
    found = [vae.log_likelihood(test_images, num_samples=200, seed=seed) for seed in range(20)]
    scatter = torch.stack([each.values for each in found]).var(0).mean().sqrt()
    stated = torch.stack([each.stderr for each in found]).square().mean().sqrt()
    assert stated.item() == pytest.approx(scatter.item(), rel=0.4)
    assert found[0].settings["num_samples"] == 200
    assert found[0].diagnostics.keys() == {"ess", "pareto_k"}


def test_seed_repeats_and_leaves_random_numbers(vae, test_images):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, second = (vae.log_likelihood(test_images, seed=1).values for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(vae.sample(3, seed=2), vae.sample(3, seed=2))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: x.bool(),
        lambda x: x.to(torch.uint8),
        lambda x: x.long().numpy(),
        lambda x: x.double(),
        lambda x: x.squeeze(1),
        lambda x: (16 * x).to(torch.uint8),
        lambda x: 16 * x,
        lambda x: x.numpy()[::-1][::-1].astype(">f4"),
        lambda x: x.numpy()[::-1].copy()[::-1],
        lambda x: x.numpy().astype(np.uint16),
    ],
    ids=[
        *("array", "list", "bool", "uint8", "int64", "float64", "no channel", "levels", "floats of levels"),
        *("other byte order", "negative stride", "uint16"),
    ],
)
def test_bits_are_read_in_any_usual_form(vae, test_images, convert):
    expected = vae.log_likelihood(test_images).values
    assert torch.equal(vae.log_likelihood(convert(test_images)).values, expected)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.random.default_rng(0).normal(size=(3, 1, 8, 8)),
            r"holds real numbers from .*, not grey levels: give whole numbers from 0 to 16, or ",
        ),
        (np.full((3, 1, 8, 8), 300), "whole numbers from 300 to 300, and the data have 17 levels"),
        (np.full((3, 1, 8, 8), -1), "whole numbers from -1 to -1"),
        (
            np.zeros((3, 1, 7, 8)),
            r"^the array has examples of shape \[1, 7, 8\], and the model takes \[1, 8, 8\]: give \(N, 1, 8, 8\)$",
        ),
        (
            2 * np.ones((3, 1, 8, 8), int),
            r"has no value above 2, and the data have 17 levels: give whole numbers from 0",
        ),
        (np.zeros((0, 1, 8, 8)), "holds no examples"),
        (np.full((3, 1, 8, 8), np.inf), "not grey levels"),
    ],
)
def test_other_data_are_refused_in_a_line(vae, x, message):
    with pytest.raises(DataError, match=message) as error:
        vae.log_likelihood(x)
    assert "\n" not in str(error.value)
    assert "dataset." not in str(error.value)  # a trained model cannot change it


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([], "holds no examples"),
        ("abc", "one text is given"),
        (["a b"], "not one of sentences"),
        ([[1, 2], [3]], "is no array of numbers"),
        (np.zeros((1, 1, 8, 8), complex), "is no array of numbers"),
        (None, "is no array of numbers"),
        (np.full((1, 1, 8, 8), np.nan), "fill them by impute"),
    ],
)
def test_what_is_no_array_is_refused(vae, x, message):
    with pytest.raises(DataError, match=message):
        vae.encode(x)


def test_interpolation_begins_and_ends_at_the_pair(vae, test_images):
    pair = test_images[:3], test_images[3:6]
    found = vae.interpolate(*pair, steps=5)
    assert found.shape == (5, 3, 1, 8, 8)
    for step, image in ((0, pair[0]), (-1, pair[1])):
        assert torch.allclose(found[step], vae.decode(vae.encode(image)), atol=1e-6)


def test_results_have_no_gradients(vae, test_images):
    for found in (vae.encode(test_images), vae.reconstruct(test_images), vae.sample(2), vae.decode([[0.0, 0.0]])):
        assert not found.requires_grad
    assert all(parameter.grad is None for parameter in vae.model.parameters())


def test_splits_of_the_run_are_at_hand(vae):
    assert [len(split) for split in (vae.data.train, vae.data.valid, vae.data.test)] == [1257, 180, 360]


def test_energy_model_states_the_error_of_log_z(tmp_path):
    model, results = train(tmp_path, *TINY_ENERGY, "estimators.energy.partition.max_log2_states=0")
    images = model.data.test.batch(slice(None))
    found = model.log_likelihood(images, seed=3)
    row = next(row for row in results["estimates"] if row["quantity"] == "log_likelihood")
    assert found.estimator == "ais"
    assert found.stderr.unique().numel() == 1
    assert found.values.mean().item() == pytest.approx(row["value"], abs=6 * found.stderr[0].item() + 0.1)
    assert model.encode(images[:4]).shape == (4, 8)
    hidden = images[:4].clone()
    hidden[..., :4, :] = torch.nan
    completed = model.impute(hidden)
    assert torch.equal(completed[..., 4:, :], images[:4, :, 4:])
    assert (completed[..., :4, :] >= 0).all()


def test_unlikely_examples_are_no_collapse(tmp_path):
    """A run warns where its model is worse than independent pixels; noise is unlikely under any good model."""
    model, results = train(tmp_path, *TINY_ENERGY, "dataset=bars_and_stripes", "trainer.max_epochs=1")
    (row,) = [each for each in results["estimates"] if each["quantity"] == "log_likelihood"]
    assert row["warning"].startswith("collapsed:")
    assert model.log_likelihood(torch.ones(5, *model.dataset.shape)).warning is None


def test_labels_are_predicted_and_drawn(tmp_path):
    model, _ = train(tmp_path, *TINY_LABELLED)
    images = model.data.test.batch(slice(0, 5))
    assert model.predict(images).sum(1).tolist() == pytest.approx([1.0] * 5, abs=1e-5)
    assert model.sample(6, y=3, seed=0).shape == (6, 1, 8, 8)
    with pytest.raises(ConfigError, match="y = 10: the labels are 0 to 9"):
        model.sample(1, y=10)


def test_what_a_model_cannot_do_is_said(tmp_path, vae, test_images):
    model, _ = train(tmp_path / "gan", *TINY_GAN)
    found = model.log_likelihood(model.sample(3, seed=0))
    assert found.values.shape == found.stderr.shape == (3,)
    for action in (model.encode, model.predict):
        with pytest.raises(ConfigError, match="GAN cannot"):
            action(test_images)
    with pytest.raises(ConfigError, match="VAE cannot draw examples of one label"):
        vae.sample(1, y=0)
    exact, _ = train(tmp_path / "exact", *TINY_EXACT)
    with pytest.raises(ConfigError, match="ExactLikelihood draws no samples"):
        exact.log_likelihood(exact.data.test.batch(slice(0, 2)), num_samples=5)


def test_foreign_code_of_a_folder_is_refused(tmp_path):
    model, _ = train(tmp_path, *TINY)
    path = tmp_path / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("dgm_run.data.sources.digits.Digits", "subprocess.run"))
    with pytest.raises(CheckpointError, match=r"load\(run_dir, packages=\['subprocess'\]\)"):
        model.log_likelihood(np.zeros((1, 1, 8, 8)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model, x: model.sample(0), r"^n = 0 must be positive$"),
        (lambda model, x: model.sample(-1), r"^n = -1 must be positive$"),
        (
            lambda model, x: model.decode(np.zeros((3, 99))),
            r"^z has shape \[3, 99\], and the model takes \(N, \d+\), N at",
        ),
        (lambda model, x: model.decode(np.zeros(2)), r"^z has shape \[2\]"),
        (lambda model, x: model.interpolate(x[:2], x[:2], steps=0), r"^steps = 0 must be positive$"),
        (lambda model, x: model.interpolate(x[:2], x[:3]), r"^x1 has 2 examples, and x2 has 3: give as many of both$"),
    ],
)
def test_wrong_numbers_and_shapes_are_one_line(vae, test_images, call, message):
    with pytest.raises(UserError, match=message):
        call(vae, test_images)


def test_likelihood_of_a_run_in_double_precision(tmp_path):
    overrides = ("dataset=wine", "dataset.source.use=[real]", "likelihood=gaussian", "model.latent_dim=2")
    few = ("trainer.max_epochs=1", "trainer.precision=fp64", "estimators.importance_sampling.num_samples=5")
    dgm_run.run(dgm_run.compose(*overrides, *few), tmp_path)
    torch.set_default_dtype(torch.float32)  # as in a process of its own
    model = dgm_run.load(tmp_path)
    x = model.sample(3, seed=0)
    assert model.log_likelihood(x).values.isfinite().all()
    assert torch.get_default_dtype() == torch.float32


def test_masked_cells_are_missing(tmp_path):
    overrides = ("dataset=wine", "dataset.source.use=[real]", "likelihood=gaussian", "model.latent_dim=2")
    few = ("trainer.max_epochs=1", "estimators.importance_sampling.num_samples=5")
    dgm_run.run(dgm_run.compose(*overrides, *few), tmp_path)
    model = dgm_run.load(tmp_path)
    x = model.sample(4, seed=0).numpy()
    hidden = np.zeros(x.shape, dtype=bool)
    hidden[:, 3] = True
    masked = model.log_likelihood(np.ma.masked_array(x, hidden)).values
    torch.testing.assert_close(masked, model.log_likelihood(np.where(hidden, np.nan, x)).values)
