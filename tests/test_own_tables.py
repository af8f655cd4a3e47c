"""A user's own tables through whole runs: kinds of columns, missing cells, samples and completions."""

import csv

import numpy as np
import pytest
import scipy.stats
import torch

import dgm_run
from dgm_run.cli.run_commands import _draw_label
from dgm_run.config.own_code import OwnCode
from dgm_run.config.validate import validate
from dgm_run.data.columns import decode_rows, read_columns
from dgm_run.data.table_file import read_table
from dgm_run.errors import ConfigError, DataError
from dgm_run.runner.run_folder import load_config, load_model, read_preprocessing
from dgm_run.runner.table_samples import read_run_columns
from tests.support.tables import COLUMNS, draw_cells, write_csv
from tests.support.tiny import SHORT, TINY, run_command

KINDS = ("dataset.source.kinds={grade: categorical}",)
TABLE = ("dataset=table", "dataset.source.num_valid=50", "dataset.source.num_test=50", *KINDS)


def sample_table(tmp_path, *overrides):
    """Trains by the command, and draws samples by the command; returns the folder of the tables."""
    done = run_command("main", *TABLE, "dataset.source.path=mine.csv", *overrides, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run_command("sample", "run", "n=20", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / "run" / "drawn" / "seed_0"


def run(tmp_path, *overrides):
    cfg = dgm_run.compose(*overrides)
    results = dgm_run.run(cfg, tmp_path / "run")
    return {row["quantity"]: row for row in results["estimates"]}


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_a_vae_learns_a_table(tmp_path, missing):
    write_csv(tmp_path / "mine.csv", draw_cells(300), missing)
    rows = run(tmp_path, *TABLE, f"dataset.source.path={tmp_path / 'mine.csv'}", *TINY)
    assert np.isfinite(rows["log_likelihood"]["value"])
    assert load_config(tmp_path / "run")["dataset"]["columns"] == COLUMNS
    x = read_preprocessing(tmp_path / "run").restore(load_model(tmp_path / "run").sample(7))
    for i, column in enumerate(read_columns(COLUMNS)):
        assert len(column.decode(x[:, i])) == 7


@pytest.mark.parametrize(
    "model", ["hvae model.total_dim=4 model.hidden_dims=[8]", "dlgm model.upper_dim=2 model.hidden_dims=[8]"]
)
def test_other_models_learn_a_table(tmp_path, model):
    write_csv(tmp_path / "mine.csv", draw_cells(300), 0.2)
    overrides = [f"model={model.split()[0]}", *model.split()[1:], *TINY]
    rows = run(tmp_path, *TABLE, f"dataset.source.path={tmp_path / 'mine.csv'}", *overrides)
    assert np.isfinite(rows["log_likelihood"]["value"])


def test_a_density_network_learns_a_table(tmp_path):
    short = ("decoder.hidden_dims=[8]", "estimators.prior_sampling.num_samples=1000", *SHORT)
    rows = run(tmp_path, "dataset=wine", "model=density_network", *short)
    assert np.isfinite(rows["log_likelihood"]["value"])


def test_factor_analysis_takes_the_real_columns(tmp_path):
    """The mean log density by SciPy of the test rows, in the units of the file."""
    cells = draw_cells(300)
    noise = np.random.default_rng(0).normal(size=(3, 300))
    numbers = {f"x{i}": (np.array(cells["height"]) + each).tolist() for i, each in enumerate(noise)}
    write_csv(tmp_path / "mine.csv", {**cells, **numbers})
    path = f"dataset.source.path={tmp_path / 'mine.csv'}"
    settings = ("dataset.source.use=[real]", "dataset.source.split_seed=null", "model.latent_dim=2", *SHORT)
    rows = run(tmp_path, *TABLE, path, "model=factor_analysis", *settings, "trainer.max_epochs=20")
    p = load_model(tmp_path / "run").density
    covariance = (p.weight @ p.weight.T + p.log_var.exp().diag()).detach().numpy()
    x = np.stack([cells["income"], cells["height"], *numbers.values()], 1)
    scale = x[:200].std(0)
    z = (x[-50:] - x[:200].mean(0)) / scale
    density = scipy.stats.multivariate_normal(p.bias.detach().numpy(), covariance)
    expected = density.logpdf(z).mean() - np.log(scale).sum()
    assert rows["log_likelihood"]["value"] == pytest.approx(expected, rel=1e-5)


def test_imputation_reports_errors_by_kind(tmp_path):
    """The baseline of categories by NumPy: the most frequent value of the training rows, on hidden test cells."""
    write_csv(tmp_path / "mine.csv", draw_cells(300), 0.1)
    few = ("estimators.imputation.num_table_draws=5", "estimators.imputation.methods.importance_sampling.num_samples=5")
    estimators = "estimators=[importance_sampling,imputation]"
    rows = run(tmp_path, *TABLE, f"dataset.source.path={tmp_path / 'mine.csv'}", estimators, *few, *TINY)
    kinds = ("rmse_real", "rmse_count", "error_binary", "error_categorical")
    assert {f"{kind}_missing_at_random" for kind in kinds} < set(rows)
    assert rows["rmse_real_missing_at_random"]["estimator"] == "mean_or_mode"  # the last row of its quantity
    assert rows["rmse_real_missing_at_random"]["value"] == pytest.approx(1, abs=0.3)
    assert 40 < rows["error_categorical_missing_at_random"]["value"] < 80  # three and four values, nearly even


def test_a_poor_model_is_worse_than_columns(tmp_path):
    """A VAE that learns nothing, of a table with missing cells."""
    write_csv(tmp_path / "mine.csv", draw_cells(300), 0.1)
    settings = (*TINY, "optimizer.lr=1e-9", "estimators.importance_sampling.num_samples=100")
    rows = run(tmp_path, *TABLE, f"dataset.source.path={tmp_path / 'mine.csv'}", *settings)
    assert "independent columns (-" in rows["log_likelihood"]["warning"]


def test_few_steps_of_a_chain_are_refused(tmp_path):
    settings = ("estimators.imputation.methods.pseudo_gibbs.num_steps=150", "model.latent_dim=2")
    cfg = dgm_run.compose("dataset=wine", "estimators=[imputation]", *settings)
    with pytest.raises(ConfigError, match="num_table_draws = 100 exceeds the 50 steps of pseudo_gibbs"):
        dgm_run.run(cfg, tmp_path / "run")


def test_a_label_column_trains_m2(tmp_path):
    small = ("model.latent_dim=8", "encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]", "model.hidden_dim=8", *SHORT)
    few = ("estimators.importance_sampling.num_samples=2", "estimators.classification.num_samples=2")
    rows = run(tmp_path, "model=m2", "dataset=wine", "dataset.source.label=cultivar", *small, *few)
    assert 0 <= rows["error"]["value"] <= 100
    files = _draw_label(tmp_path / "run", OwnCode(), 5, 0, "class_1")
    table = {raw.name: raw.cells for raw in read_table(files[-1])}
    assert table["cultivar"] == ["class_1"] * 5
    assert len(table) == 14


@pytest.mark.parametrize("model", ["ppca", "class_conditional_ppca"])
def test_ppca_takes_the_real_columns(tmp_path, model):
    settings = ("dataset.source.use=[real]", "dataset.source.label=cultivar", f"model={model}")
    rows = run(tmp_path, "dataset=wine", *settings, "estimators=[exact]")
    assert rows["log_likelihood"]["value"] < 0


def test_a_model_of_labels_names_the_setting():
    cfg = dgm_run.compose("model=m2", "dataset=wine")
    with pytest.raises(ConfigError, match=r"the data have none: set dataset\.source\.label=COLUMN to a column"):
        validate(cfg)


@pytest.mark.slow
def test_samples_and_completions_are_written(tmp_path):
    rows = write_csv(tmp_path / "mine.csv", draw_cells(300), 0.2)
    folder = sample_table(tmp_path, *TINY)
    names = [each["name"] for each in COLUMNS]
    source = {raw.name: raw for raw in read_table(tmp_path / "mine.csv")}
    for name, num in (("samples", 20), ("completed", 300), ("completed_drawn", 300)):
        table = read_table(folder / f"{name}.csv")
        assert [raw.name for raw in table] == names
        assert all(raw.dtype == source[raw.name].dtype for raw in table)
        assert {len(raw.cells) for raw in table} == {num}
        assert not any(cell is None for raw in table for cell in raw.cells)
    with (folder / "completed.csv").open(newline="") as file:
        completed = list(csv.reader(file))[1:]
    kept = [
        (cell, found) for row, line in zip(rows, completed, strict=True) for cell, found in zip(row, line, strict=True)
    ]
    assert all(found == str(cell) for cell, found in kept if cell is not None)


@pytest.mark.slow
def test_a_vae_completes_better_than_columns(tmp_path):
    """Cells hidden at random: squared error below that of column means, more hits than the most frequent value."""
    truth = draw_cells(2000)
    rows = write_csv(tmp_path / "mine.csv", truth, 0.3)
    settings = ("model.latent_dim=2", "trainer.max_epochs=300", "objective=iwae", "objective.num_samples=10")
    small = ("encoder.hidden_dims=[50]", "decoder.hidden_dims=[50]", "trainer.patience=30")
    table = read_table(sample_table(tmp_path, *settings, *small) / "completed.csv")
    for place, (raw, column) in enumerate(zip(table, COLUMNS, strict=True)):
        hidden = [i for i, row in enumerate(rows) if row[place] is None]
        known = [row[place] for row in rows if row[place] is not None]
        found = [raw.cells[i] for i in hidden]
        expected = [truth[column["name"]][i] for i in hidden]
        if column["values"]:
            most_frequent = max(set(known), key=known.count)
            hits, baseline = np.mean(np.equal(found, expected)), np.mean(np.equal(most_frequent, expected))
            assert hits > baseline + 0.1, column["name"]
        else:
            error = np.mean(np.subtract(found, expected) ** 2)
            assert error < 0.6 * np.mean((np.mean(known) - np.array(expected)) ** 2), column["name"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("likelihood=gaussian",),
            r"^GaussianLikelihood takes continuous data, and wine has .*: choose likelihood=mixed$",
        ),
        (("encoder=mlp",), r"choose encoder=table$"),
        (("prior=vampprior", "prior.value_range=null"), r"choose another prior$"),
        (("model=factor_analysis",), r"or keep columns of one kind: dataset\.source\.use=\[real\] or \[binary\]$"),
        (("estimators=[sample_quality]",), r"^SampleQuality takes .*: drop it$"),
    ],
)
def test_parts_for_other_data_are_refused(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, "dataset=wine", *overrides)


def test_parts_of_tables_are_refused_elsewhere(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^likelihood: MixedLikelihood needs a data set with columns: choose dataset="
    ):
        run(tmp_path, "likelihood=mixed")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such file: set dataset.source.path to a"):
        run(tmp_path, *TABLE, "dataset.source.path=none.csv")


def test_columns_cannot_be_set_twice(tmp_path):
    with pytest.raises(
        ConfigError, match=r"^likelihood\.columns: it follows dataset\.columns: set dataset\.columns inst"
    ):
        run(tmp_path, "dataset=wine", "likelihood.columns=[]")


def test_all_columns_may_be_binary(tmp_path):
    torch.manual_seed(0)
    cells = {f"q{i}": each for i, each in enumerate(torch.randint(2, (6, 300)).tolist())}
    write_csv(tmp_path / "mine.csv", cells)
    path = f"dataset.source.path={tmp_path / 'mine.csv'}"
    rows = run(tmp_path, *TABLE[:-1], path, "model=rbm", "model.num_hidden=4", *SHORT)
    assert rows["log_likelihood"]["value"] == pytest.approx(-6 * np.log(2), abs=0.3)


def test_an_rbm_learns_categories_as_units(tmp_path):
    write_csv(tmp_path / "mine.csv", draw_cells(300))
    path = f"dataset.source.path={tmp_path / 'mine.csv'}"
    units = ("dataset.source.use=[binary,categorical]", "dataset.source.one_hot=true")
    rows = run(tmp_path, *TABLE, path, *units, "model=rbm", "model.num_hidden=4", *SHORT, "trainer.batch_size=20")
    assert -11 * np.log(2) < rows["log_likelihood"]["value"] < -np.log(2)
    x = load_model(tmp_path / "run").sample(20, num_steps=10)
    columns = read_run_columns(load_config(tmp_path / "run"))
    expected = [column for column in COLUMNS if column["values"]]
    for column, cells in zip(expected, decode_rows(columns, x, [0] * 11), strict=True):
        assert set(cells) <= set(column["values"])
