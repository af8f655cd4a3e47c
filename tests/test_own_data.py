"""A user's own arrays through whole runs: units, missing values, missing labels."""

import numpy as np
import pytest

import dgm_run
from dgm_run.errors import ConfigError
from tests.support.own_data import (
    ARRAYS,
    FACTORS,
    GAUSSIAN,
    density_in_data_units,
    draw_columns,
    gaussian_log_density,
    run,
    save,
)
from tests.support.tiny import SHORT, TINY, TINY_LABELLED


@pytest.fixture
def x():
    return draw_columns()


def test_densities_are_in_data_units(tmp_path, x):
    rows, found = run(save(tmp_path, x), tmp_path, *FACTORS, "trainer.max_epochs=50")
    expected = gaussian_log_density(x[-30:], *density_in_data_units(tmp_path / "run"))
    assert rows["log_likelihood"]["value"] == pytest.approx(expected, rel=1e-4)
    assert rows["log_likelihood"]["value"] == pytest.approx(rows["factor_analysis"]["value"], abs=0.1)
    assert found["training"]["best"] == pytest.approx(expected, abs=3)


def test_bounds_are_those_of_standardized_data_shifted(tmp_path, x):
    rows, found = run(save(tmp_path, x), tmp_path, *GAUSSIAN)
    mean, scale = x[:-60].mean(0), x[:-60].std(0)
    cfg = dgm_run.compose(*ARRAYS, f"dataset.source.path={save(tmp_path, (x - mean) / scale)}", *GAUSSIAN,
                          "dataset.standardize=none")  # fmt: skip
    other = dgm_run.run(cfg, tmp_path / "other")
    shift = -np.log(scale).sum()
    for row in other["estimates"]:
        if row["quantity"] in ("log_likelihood", "elbo", "reconstruction", "ppca", "factor_analysis"):
            assert rows[row["quantity"]]["value"] == pytest.approx(row["value"] + shift, abs=1e-4)
    assert rows["kl"]["value"] == pytest.approx(next(r for r in other["estimates"] if r["quantity"] == "kl")["value"])
    assert found["training"]["best"] == pytest.approx(other["training"]["best"] + shift, abs=1e-4)


def test_ppca_is_the_one_of_the_raw_columns(tmp_path, x):
    x = (x - x.mean(0)) / x.std(0) * [1e-4, 2e-4, 3e-4, 4e-4] + 1.0
    rows, _ = run(save(tmp_path, x), tmp_path, "model=ppca", *FACTORS[1:], "trainer.max_epochs=1")
    train = x[:-60]
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    noise = values[:2].mean()
    weight = vectors[:, 2:] * np.sqrt(values[2:] - noise)
    expected = gaussian_log_density(x[-30:], train.mean(0), weight @ weight.T + noise * np.eye(4))
    assert rows["ppca"]["value"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("mode", ["columns", "global"])
def test_factor_analysis_does_not_depend_on_units(tmp_path, x, mode):
    x = (x - x.mean(0)) / x.std(0)
    raw, _ = run(save(tmp_path, x), tmp_path / "raw", *FACTORS, "dataset.standardize=none")
    rows, _ = run(save(tmp_path, 10 * x), tmp_path, *FACTORS, f"dataset.standardize={mode}")
    expected = raw["factor_analysis"]["value"] - 4 * np.log(10)
    assert rows["factor_analysis"]["value"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("with_holes", [False, True])
def test_a_file_on_the_disk_is_read_as_from_memory(tmp_path, x, with_holes):
    if with_holes:
        x[::7, 2] = np.nan
    parts = {"train": x[:-60], "valid": x[-60:-30], "test": x[-30:]}
    (tmp_path / "folder").mkdir()
    for name, part in parts.items():
        np.save(tmp_path / "folder" / f"{name}.npy", part)
    np.savez(tmp_path / "mine.npz", **parts)
    rows, found = run(tmp_path / "folder", tmp_path / "disk", *GAUSSIAN)
    others, other = run(tmp_path / "mine.npz", tmp_path / "memory", *GAUSSIAN)
    assert found["preprocessing"] == other["preprocessing"]
    assert {name: row["value"] for name, row in rows.items()} == {n: row["value"] for n, row in others.items()}


def test_standardized_values_are_not_squashed(tmp_path, x):
    x = (x - x.min(0)) / (x.max(0) - x.min(0))
    with pytest.raises(ConfigError, match="standardised values from .* or dataset.standardize=none"):
        run(save(tmp_path, x), tmp_path, *GAUSSIAN, "likelihood.squash=true")
    run(save(tmp_path, x), tmp_path, *GAUSSIAN, "likelihood.squash=true", "dataset.standardize=none")


def test_levels_are_not_standardized(tmp_path):
    with pytest.raises(ConfigError, match="grey levels have a scale already: set standardize=none"):
        dgm_run.run(dgm_run.compose(*TINY, "dataset.standardize=columns"), tmp_path)


def test_samples_are_in_data_units(tmp_path, x):
    from dgm_run.runner.run_folder import read_preprocessing
    from dgm_run.runner.sample import draw

    run(save(tmp_path, x), tmp_path, *FACTORS, "trainer.max_epochs=50")
    folder = tmp_path / "run"
    samples = draw(dgm_run.load(folder).model, 2000, 0, preprocessing=read_preprocessing(folder))[
        "samples_drawn"
    ].numpy()
    assert np.allclose(samples.std(0) / x.std(0), 1, atol=0.15)
    assert np.allclose((samples.mean(0) - x.mean(0)) / x.std(0), 0, atol=0.25)


def test_likelihoods_are_those_of_observed_values(tmp_path, x):
    x[np.random.default_rng(1).random(x.shape) < 0.2] = np.nan
    rows, found = run(save(tmp_path, x), tmp_path, *FACTORS, "trainer=gradient", "trainer.max_epochs=20", *SHORT[1:],
                      "estimators=[exact,imputation]")  # fmt: skip
    assert rows["log_likelihood"]["value"] == pytest.approx(
        gaussian_log_density(x[-30:], *density_in_data_units(tmp_path / "run")), rel=1e-4
    )
    assert "seen through missing values" in found["preprocessing"]
    assert rows["mse_missing_at_random"]["value"] < 2  # of hidden values, in variances


def test_a_vae_learns_from_missing_values(tmp_path, x):
    x[::3, 1] = np.nan
    rows, results = run(save(tmp_path, x), tmp_path, *GAUSSIAN, "estimators=[importance_sampling,imputation]")
    assert np.isfinite(rows["log_likelihood"]["value"])
    assert results["model"] == "VAE"  # which the user has chosen, and the log names
    assert "VAE with " in (tmp_path / "run" / "run.log").read_text()
    model = dgm_run.load(tmp_path / "run").model
    assert type(model).__name__ == "CorruptedModel"
    again = dgm_run.evaluate(dgm_run.compose(*ARRAYS, f"dataset.source.path={tmp_path / 'mine.npz'}", *GAUSSIAN,
                             "estimators=[importance_sampling]"), tmp_path / "run")  # fmt: skip
    assert {row["quantity"]: row for row in again["estimates"]}["elbo"]["value"] == rows["elbo"]["value"]


def test_missing_values_are_completed(tmp_path, x):
    from dgm_run.config.compose import instantiate
    from dgm_run.runner.run_folder import read_preprocessing
    from dgm_run.runner.sample import draw

    whole = x[-30:].copy()
    x[-20:, 1] = np.nan
    overrides = (*FACTORS, "trainer=gradient", "trainer.max_epochs=200", "trainer.batch_size=50", "optimizer.lr=0.02")
    run(save(tmp_path, x), tmp_path, *overrides, "trainer.threads=1")
    folder = tmp_path / "run"
    data = instantiate(
        dgm_run.compose(*ARRAYS, f"dataset.source.path={tmp_path / 'mine.npz'}", *overrides).dataset
    ).load()
    found = draw(dgm_run.load(folder).model, 64, 0, data.train, data.test, read_preprocessing(folder))
    found = {name: values.numpy() for name, values in found.items()}
    assert np.isnan(found["incomplete"][:, 1]).all()
    assert len(found["incomplete"]) == 20
    mean, covariance = density_in_data_units(folder)
    seen = [0, 2, 3]
    slope = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[seen, 1])
    expected = mean[1] + (whole[10:][:, seen] - mean[seen]) @ slope
    assert np.allclose(found["completed"][:, 1], expected, atol=0.3 * whole[:, 1].std())
    assert np.allclose(found["completed"][:, seen], whole[10:][:, seen], rtol=1e-4)
    assert not np.isnan(found["completed_drawn"]).any()


def test_missing_values_are_said_before_training(tmp_path, x, capfd):
    x[3, 2] = np.nan
    run(save(tmp_path, x), tmp_path, *GAUSSIAN)
    assert "NaN is a missing value: 1 of 560 in train, 0 of 120 in valid" in capfd.readouterr().out


def test_models_of_complete_data_refuse_missing_values(tmp_path, x):
    x[3, 2] = np.nan
    with pytest.raises(ConfigError, match=r"values are missing \(NaN\), but GaussianRBM needs complete data"):
        run(save(tmp_path, x), tmp_path, "model=gaussian_rbm", "dataset.shape=[4]", *SHORT)
    with pytest.raises(ConfigError, match="EMTrainer needs complete data: choose trainer=gradient"):
        run(save(tmp_path, x), tmp_path, *FACTORS)


def test_noise_cannot_be_added_to_missing_values(tmp_path, x):
    from dgm_run.errors import DataError

    x[3, 2] = np.nan
    with pytest.raises(DataError, match="which GaussianNoise cannot be added to: choose one of missing_at_random"):
        run(save(tmp_path, x), tmp_path, *GAUSSIAN, "dataset/corrupt=gaussian_noise")


def test_more_values_can_be_hidden_where_some_are_missing(tmp_path, x):
    x[::2, 0] = np.nan
    rows, _ = run(save(tmp_path, x), tmp_path, *GAUSSIAN, "dataset/corrupt=missing_at_random")
    assert np.isfinite(rows["log_likelihood"]["value"])


@pytest.fixture
def labelled(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 200)
    x = (rng.random((200, 1, 4, 4)) < 0.2 + 0.3 * y[:, None, None, None]).astype(np.uint8)
    return x, y


LABELLED = (*TINY_LABELLED, "dataset.shape=[1,4,4]", "dataset.num_levels=2", "dataset.num_classes=3")


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_minus_one_is_no_label(tmp_path, labelled, dtype):
    x, y = labelled
    y = y.astype(dtype)
    y[::2] = -1 if dtype == np.int64 else np.nan
    rows, _ = run(save(tmp_path, x, y=y), tmp_path, *LABELLED)
    assert rows["error"]["num_examples"] == 15
    assert 0 <= rows["error"]["value"] <= 100


@pytest.mark.parametrize("model", ["m1", "m1_m2"])
def test_other_models_of_labels_take_minus_one(tmp_path, labelled, model):
    x, y = labelled
    y[1::2] = -1
    more = ("model.feature_dim=3", "trainer.pretraining.max_epochs=1") if model == "m1_m2" else ()
    overrides = [each for each in LABELLED if model == "m1_m2" or "classification" not in each]
    rows, _ = run(save(tmp_path, x, y=y), tmp_path, *overrides, f"model={model}", *more)
    assert any(name.startswith("error") for name in rows)


def test_labels_of_all_examples_may_not_be_missing(tmp_path, labelled):
    from dgm_run.errors import DataError

    x, y = labelled
    with pytest.raises(DataError, match="no training example of arrays has a label"):
        run(save(tmp_path, x, y=np.full_like(y, -1)), tmp_path, *LABELLED)
    y[-30:] = -1
    with pytest.raises(ConfigError, match="no test example has a label"):
        run(save(tmp_path, x, y=y), tmp_path, *LABELLED)
