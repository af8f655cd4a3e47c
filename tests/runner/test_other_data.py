"""dgm-eval on other data: the model keeps its preprocessing, and the rows stand apart."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.errors import ConfigError, DataError
from dgm_run.recording.estimate_id import values_key
from dgm_run.runner.other_data import choose_other_data
from tests.support.own_data import ARRAYS, FACTORS, density_in_data_units, draw_columns, gaussian_log_density, save
from tests.support.tiny import SHORT, TINY, TINY_ENERGY, TINY_SENTENCES, run_command, run_here

IMAGES = {
    **{"name": "images", "shape": [1, 8, 8], "num_levels": 17, "binarize": "dynamic", "dequantize": False},
    **{"noise_seed": 777, "standardize": None, "corrupt": None, "corrupt_seed": 0, "source": {"_target_": "a.B"}},
}
MINE = IMAGES | {"name": "arrays", "binarize": "none", "source": {"_target_": "a.Arrays", "path": "mine.npz"}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    done = run_command("main", *TINY, "hydra.run.dir=run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def digits(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def read_rows(folder):
    """Rows of the run's own data, and rows of other data."""
    rows = json.loads((folder / "results.json").read_text())["estimates"]
    return [row for row in rows if row["dataset"] is None], [row for row in rows if row["dataset"]]


def numbers(rows):
    return {(row["quantity"], row["estimator"]): row["value"] for row in rows}


def save_digits(path):
    """Saves the grey levels of the digits with their splits."""
    splits = instantiate(dgm_run.compose("dataset=digits").dataset.source)()
    np.savez(path, **{name: getattr(splits, name).x.numpy() for name in ("train", "valid", "test")})
    return path


def test_densities_keep_units_of_the_run(tmp_path):
    names = ("estimators=[exact,linear_baseline]", "estimators.linear_baseline.latent_dim=2")
    own = f"dataset.source.path={save(tmp_path, draw_columns())}"
    cfg = dgm_run.compose(*ARRAYS, *FACTORS, *names, own)
    dgm_run.run(cfg, tmp_path / "run")
    before, _ = read_rows(tmp_path / "run")
    other = draw_columns()[::-1] * 1.5 + np.array([0.01, 1.0, -100.0, 500.0])
    np.save(tmp_path / "other.npy", other)
    cfg.dataset.source.path = str(tmp_path / "other.npy")
    found = dgm_run.evaluate(cfg, tmp_path / "run")
    own_rows, rows = read_rows(tmp_path / "run")
    assert own_rows == before
    assert found["estimates"] == own_rows + rows
    assert found["preprocessing"] != rows[0]["dataset"]["preprocessing"]

    train, test = other[:140], other[170:]
    value = {row["estimator"]: row["value"] for row in rows if row["quantity"] == "log_likelihood"}
    assert value["exact"] == pytest.approx(
        gaussian_log_density(test, *density_in_data_units(tmp_path / "run")), rel=1e-4
    )
    # a baseline is one of the data that are scored
    independent = next(row["value"] for row in rows if row["quantity"] == "independent_columns")
    assert independent == pytest.approx(gaussian_log_density(test, train.mean(0), np.diag(train.var(0))), rel=1e-4)
    with np.load(tmp_path / "run" / "values.npz") as values:
        assert {values_key(row) for row in rows if row["quantity"] == "log_likelihood"} <= set(values.files)


def test_same_examples_give_the_same_numbers(digits, monkeypatch, capfd):
    path = save_digits(digits.parent / "same.npz")
    arguments = ["run", "dataset=arrays", f"dataset.source.path={path}"]
    done = run_here("evaluate", arguments, digits.parent, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert (
        "is evaluated on other data: arrays, binarisation dynamic (test pixels drawn once with seed 777" in done.stdout
    )
    assert "shape=[1, 8, 8] (not [1, 28, 28]), num_levels=17 (not null), binarize=dynamic (not none)" in done.stdout
    assert "Estimates per example of arrays" in done.stdout
    own, rows = read_rows(digits)
    assert numbers(rows) == numbers(own)
    done = run_here("evaluate", arguments, digits.parent, monkeypatch, capfd)
    assert "added to" not in done.stdout  # the rows of these data replace themselves alone
    assert list(map(len, read_rows(digits))) == [len(own), len(rows)]


def test_own_protocol_gives_way_to_that_of_the_run():
    choice = choose_other_data(IMAGES, MINE | {"shape": [3, 32, 32], "num_levels": None, "noise_seed": 1})
    assert choice.replaced == {"shape": [3, 32, 32], "num_levels": None, "binarize": "none", "noise_seed": 1}
    assert {key: choice.adopted[key] for key in choice.replaced} == {
        "shape": [1, 8, 8], "num_levels": 17, "binarize": "dynamic", "noise_seed": 777
    }  # fmt: skip
    binary = choose_other_data(IMAGES, MINE | {"num_levels": 2})
    assert "binarize" not in binary.adopted  # they are binary already


def test_splits_and_protocols_make_no_other_data():
    for change in ({"binarize": "threshold"}, {"noise_seed": 1}, {"source": {"_target_": "a.B", "num_test": 3}}):
        assert choose_other_data(IMAGES, IMAGES | change) is None
    for change in ({"name": "others"}, {"source": {"_target_": "a.B", "inverted": True}}):
        assert choose_other_data(IMAGES, IMAGES | change) is not None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (IMAGES | {"name": "b", "shape": [1, 4, 4]}, "b holds binary data of shape [1, 4, 4], and the run was trained "
         "on images, which holds binary data of shape [1, 8, 8]: choose data of the same kind and shape"),
        ({"name": "b", "shape": [3], "columns": []}, "b holds a table, and the run"),
        ({"name": "b", "shape": [9], "vocab_size": 9}, "b holds sentences, and the run"),
        (MINE | {"num_levels": None, "shape": [2], "source": {}}, "arrays holds real values of shape [2], and the run"),
    ],
)  # fmt: skip
def test_other_kinds_and_shapes_are_refused(other, message):
    with pytest.raises(ConfigError) as refused:
        choose_other_data(IMAGES, other)
    assert str(refused.value).startswith(f"dataset: {message}")


def test_levels_of_another_number_are_refused():
    with pytest.raises(ConfigError, match=r"holds 256 levels of shape .* which holds 17 levels of shape"):
        choose_other_data(IMAGES | {"binarize": "none"}, MINE | {"num_levels": 256})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=arrays", "dataset.source.path=big.npz"], "dataset: arrays has examples of shape [9, 9], and the run "
         "was trained on shape [1, 8, 8]: choose data of the same shape"),
        (["dataset=arrays", "dataset.source.path=nowhere.npz"], "nowhere.npz: there is no such file or folder"),
        (["dataset=pydoc"], "dataset: pydoc holds sentences, and the run was trained on digits"),
        (["dataset=arrays", "dataset.source.path=same.npz", "estimators=[out_of_distribution]"],
         "estimators.out_of_distribution: it compares the data of the run with others"),
        (["dataset.source.num_test=100"], "the run has another configuration: dataset.source.num_test: 360 -> 100"),
        (["dataset=arrays", "dataset.source.path=same.npz", "model.latent_dim=3"], "the run has another configuration: "
         "model.latent_dim: 2 -> 3"),
    ],
)  # fmt: skip
def test_wrong_data_are_refused(overrides, message, digits, monkeypatch, capfd):
    if "same.npz" in str(overrides):
        save_digits(digits.parent / "same.npz")
    np.savez(digits.parent / "big.npz", x=np.zeros((2100, 9, 9), np.uint8) + 16)
    before = (digits / "results.json").read_bytes()
    done = run_here("evaluate", ["run", *overrides], digits.parent, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.removeprefix(f"{digits.parent}/").startswith(message)
    assert done.stderr.count("\n") == 1
    assert (digits / "results.json").read_bytes() == before


def test_failure_on_other_data_is_not_kept(digits, monkeypatch, capfd):
    path = save_digits(digits.parent / "same.npz")
    data = ["dataset=arrays", f"dataset.source.path={path}"]
    with monkeypatch.context() as patch:
        patch.setattr("dgm_run.estimators.likelihood.importance_sampling.ImportanceSampling.__call__", lambda *a: 1 / 0)
        done = run_here("evaluate", ["run", *data], digits.parent, patch, capfd)
    assert done.returncode == 1
    assert f"to run it again: dgm-eval {digits} {' '.join(data)} 'estimators=[importance_sampling]'" in done.stderr
    assert json.loads((digits / "results.json").read_text())["failed_estimators"] == {}


def test_corruption_from_a_folder_stays_data(digits):
    path = digits / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("corrupt: null", "corrupt: {_target_: os.system, command: id}"))
    cfg = dgm_run.compose(*TINY, "dataset=arrays", f"dataset.source.path={save_digits(digits.parent / 'same.npz')}")
    with pytest.raises(dgm_run.errors.CheckpointError, match="os.system is code outside dgm_run"):
        dgm_run.evaluate(cfg, digits)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [TINY, TINY_ENERGY])
def test_baseline_is_of_the_other_data(overrides, tmp_path):
    dgm_run.run(dgm_run.compose(*overrides), tmp_path / "run")
    rng = np.random.default_rng(0)
    bright = rng.random(64) < 0.5
    levels = np.where(rng.random((400, 64)) < 0.95, 16 * bright, 16 * ~bright).astype(np.uint8).reshape(400, 8, 8)
    sources = (f"dataset.source.path={save(tmp_path, levels)}", "dataset.source.num_valid=50")
    cfg = dgm_run.compose(*overrides, "dataset=arrays", *sources, "dataset.source.num_test=100",
                          "dataset.source.split_seed=null")  # fmt: skip
    rows = [row for row in dgm_run.evaluate(cfg, tmp_path / "run")["estimates"] if row["dataset"]]
    x = levels.reshape(400, 64) // 16
    share = (x[:250].sum(0) + 1) / 252
    baseline = (x[300:] * np.log(share) + (1 - x[300:]) * np.log(1 - share)).sum(1).mean()
    (warning,) = (row["warning"] for row in rows if row["quantity"] == "log_likelihood")
    assert f"worse than independent pixels ({baseline:.2f}) by" in warning
    assert warning.endswith("the model was trained on other data")
    assert [row["value"] for row in rows if row["quantity"] == "baseline"] in ([], [pytest.approx(baseline)])


@pytest.mark.slow
def test_pictures_stand_apart(digits):
    sizes = [f"estimators.sample_quality.{setting}" for setting in ("num_samples=50", "features=pixels")]
    path = f"dataset.source.path={save_digits(digits.parent / 'same.npz')}"
    without = [each for each in TINY if not each.startswith("estimators")]
    cfg = dgm_run.compose(*without, "estimators=[sample_quality]", *sizes, "dataset=arrays", path)
    dgm_run.evaluate(cfg, digits)
    assert (digits / "nearest_neighbours_on_arrays" / "evaluated.png").exists()
    assert not (digits / "nearest_neighbours").exists()


@pytest.mark.slow
def test_folder_of_images_is_scaled_to_the_run(digits):
    (digits.parent / "images").mkdir()
    for i in range(30):
        Image.fromarray(np.full((20, 30), 255 * (i % 2), np.uint8)).save(digits.parent / "images" / f"{i}.png")
    sizes = ("dataset.source.num_valid=5", "dataset.source.num_test=20")
    cfg = dgm_run.compose(*TINY, "dataset=image_folder", f"dataset.source.path={digits.parent / 'images'}", *sizes)
    (row, *_) = (row for row in dgm_run.evaluate(cfg, digits)["estimates"] if row["dataset"])
    assert row["num_examples"] == 20
    assert row["dataset"]["preprocessing"].startswith("dynamic (")


@pytest.mark.slow
def test_missing_values_of_other_arrays(tmp_path):
    own = f"dataset.source.path={save(tmp_path, draw_columns())}"
    cfg = dgm_run.compose(*ARRAYS, *FACTORS, "estimators=[exact]", own)
    dgm_run.run(cfg, tmp_path / "run")
    other = draw_columns()[::-1].copy()
    other[np.random.default_rng(1).random(other.shape) < 0.3] = np.nan
    np.save(tmp_path / "other.npy", other)
    cfg.dataset.source.path = str(tmp_path / "other.npy")
    dgm_run.evaluate(cfg, tmp_path / "run")
    _, rows = read_rows(tmp_path / "run")
    expected = gaussian_log_density(other[170:], *density_in_data_units(tmp_path / "run"))
    assert rows[0]["value"] == pytest.approx(expected, rel=1e-4)


def write_table(path, columns):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines))


@pytest.mark.slow
def test_columns_and_codes_are_those_of_the_run(tmp_path):
    rng = np.random.default_rng(0)

    def draw():
        return {"size": rng.normal(3, 2, 240).round(3), "colour": rng.choice(["red", "green", "blue"], 240)}

    write_table(tmp_path / "own.csv", draw())
    overrides = ("dataset=table", "model.latent_dim=2", "encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]", *SHORT)
    cfg = dgm_run.compose(*overrides, f"dataset.source.path={tmp_path / 'own.csv'}")
    cfg.estimators.importance_sampling.num_samples = 2000
    dgm_run.run(cfg, tmp_path / "run")
    other = draw()
    write_table(tmp_path / "other.csv", {name: other[name] for name in ("colour", "size")})
    cfg.dataset.source.path, cfg.dataset.source.split_seed = str(tmp_path / "other.csv"), None
    dgm_run.evaluate(cfg, tmp_path / "run")
    _, rows = read_rows(tmp_path / "run")
    codes = {"blue": 0, "green": 1, "red": 2}
    test = np.column_stack([other["size"], [codes[each] for each in other["colour"]]])[-100:]
    expected = dgm_run.load(tmp_path / "run").log_likelihood(test, seed=3).values.mean().item()
    assert rows[0]["value"] == pytest.approx(expected, abs=0.02)

    write_table(tmp_path / "less.csv", {"colour": other["colour"]})
    cfg.dataset.source.path = str(tmp_path / "less.csv")
    with pytest.raises(DataError, match="the table has no column size, which the model takes: name it so"):
        dgm_run.evaluate(cfg, tmp_path / "run")


@pytest.mark.slow
def test_words_are_those_of_the_run(tmp_path):
    cfg = dgm_run.compose("model=language_model", *TINY_SENTENCES)
    dgm_run.run(cfg, tmp_path / "run")
    words = (tmp_path / "run" / "vocabulary.txt").read_text().split("\n")[4:10]
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(words, 4)) + f" unheard{i}" for i in range(40)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    sizes = ("dataset.source.num_valid=5", "dataset.source.num_test=10", "dataset.source.split_seed=null")
    short = [each for each in TINY_SENTENCES if not each.startswith("dataset")]
    source = ("dataset=text_file", "dataset.source.units=lines", f"dataset.source.path={tmp_path / 'lines.txt'}")
    dgm_run.evaluate(dgm_run.compose("model=language_model", *short, *source, *sizes), tmp_path / "run")
    _, rows = read_rows(tmp_path / "run")
    (value,) = (row["value"] for row in rows if row["quantity"] == "log_likelihood")
    expected = dgm_run.load(tmp_path / "run").log_likelihood(lines[-10:]).values.mean().item()
    assert value == pytest.approx(expected, rel=1e-5)
