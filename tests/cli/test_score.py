"""`dgm-score` writes log p(x) of the examples in files of any usual kind."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import dgm_run
from tests.support.tables import draw_cells, write_csv
from tests.support.tiny import SHORT, TINY, TINY_SENTENCE_VAE, run_command

SPLIT = ("dataset.source.num_valid=20", "dataset.source.num_test=20")
SMALL = ("model.latent_dim=2", "decoder.hidden_dims=[8]", "estimators.importance_sampling.num_samples=5", *SHORT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    dgm_run.run(dgm_run.compose(*TINY), folder)
    return folder


@pytest.fixture(scope="module")
def images(folder):
    return dgm_run.load(folder).data.test.batch(slice(0, 6)).numpy()


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write(images, path):
    if path.suffix == ".npy":
        np.save(path, images)
    elif path.suffix == ".npz":
        np.savez(path, x=images, other=np.zeros(3))
    elif path.suffix == ".csv":
        np.savetxt(path, images.reshape(6, -1), delimiter=",", header=",".join(f"p{i}" for i in range(64)), comments="")
    else:
        path.mkdir()
        for i, image in enumerate(images):
            Image.fromarray((255 * image[0]).astype(np.uint8)).save(path / f"{i}.png")


@pytest.mark.parametrize("name", ["mine.npy", "mine.npz", "mine.csv", "mine"])
def test_table_holds_what_python_computes(folder, images, name, tmp_path):
    write(images, tmp_path / name)
    done = run_command("score", str(folder), name, "num_samples=50", "seed=3", "out=table.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = dgm_run.load(folder).log_likelihood(images, num_samples=50, seed=3)
    rows = read(tmp_path / "table.csv")
    for column, values in (("log_likelihood", expected.values), ("stderr", expected.stderr)):
        assert [float(row[column]) for row in rows] == pytest.approx(values.tolist(), rel=1e-6)
    assert [row["example"] for row in rows] == [f"{i}.png" if name == "mine" else str(i) for i in range(6)]
    for row, k, ess in zip(rows, expected.diagnostics["pareto_k"], expected.diagnostics["ess"], strict=True):
        assert row["flag"] == ("single draw" if ess < 2 else "heavy tails" if k > 0.7 else "")
    assert f"mean {expected.values.mean():.3f} ± " in done.stdout
    assert "estimate, importance_sampling, num_samples=50" in done.stdout
    assert done.stdout.splitlines()[-1] == "table.csv" or done.stdout.splitlines()[-1] == "table.parquet"


def test_files_stand_below_each_other(folder, images, tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, images[:2])
    done = run_command("score", str(folder), "a.npy", "b.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = read(folder / "scores" / "a.npy_and_1_more.csv")
    assert [(row["file"], row["example"]) for row in rows] == [(f, e) for f in ("a.npy", "b.npy") for e in "01"]


def test_columns_of_a_table_are_found_by_their_names(tmp_path):
    cells = draw_cells(120)
    write_csv(tmp_path / "mine.csv", cells)
    table = ("dataset=table", "dataset.source.path=mine.csv", "likelihood=mixed", "encoder=table", *SPLIT)
    done = run_command("main", *table, *SMALL, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    write_csv(tmp_path / "turned.csv", dict(reversed(list(cells.items()))))
    for name in ("mine", "turned"):
        done = run_command("score", "run", f"{name}.csv", f"out=of_{name}.csv", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    expected, found = (
        [row["log_likelihood"] for row in read(tmp_path / f"of_{name}.csv")] for name in ("mine", "turned")
    )
    assert len(found) == 120
    assert found == expected
    name = next(iter(cells))
    write_csv(tmp_path / "less.csv", {key: values for key, values in cells.items() if key != name})
    done = run_command("score", "run", "less.csv", cwd=tmp_path)
    missing = f"the table has no column {name}, which the model takes: name it so, or start a new run"
    message = f"less.csv: dataset: {missing}\n"
    assert (done.returncode, done.stderr) == (1, message)


@pytest.mark.slow
def test_sentences_are_scored(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY_SENTENCE_VAE), tmp_path / "run")
    (tmp_path / "mine.txt").write_text("the dog sees the cat\na bird sings\n")
    done = run_command("score", "run", "mine.txt", "out=table.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = [float(row["log_likelihood"]) for row in read(tmp_path / "table.csv")]
    expected = dgm_run.load(tmp_path / "run").log_likelihood(["the dog sees the cat", "a bird sings"]).values
    assert torch.tensor(values).tolist() == pytest.approx(expected.tolist())
    (tmp_path / "mine.txt").write_text("a bird sings\n\n")
    done = run_command("score", "run", "mine.txt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "mine.txt: line 2 has 0 words: a sentence has 1 to 19\n")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda f: None, [], "dgm-score needs files: dgm-score RUN_DIR FILE..."),
        (lambda f: None, ["gone.npy"], "gone.npy: there is no such file or folder"),
        (lambda f: (f / "a.xyz").touch(), ["a.xyz"], "a.xyz: known are folders of images, .npy, .npz, .csv"),
        (lambda f: (f / "a.npy").write_text("no"), ["a.npy"], "a.npy is no .npy or .npz file of plain numbers"),
        (lambda f: (f / "a.csv").write_text("1,2\n3,b\n"), ["a.csv"], "a.csv: line 2, column 2 holds 'b', which is no"),
        (lambda f: (f / "a.csv").write_text("1,2\n3\n"), ["a.csv"], "a.csv: line 2 has 1 columns, and line 1 has 2"),
        (
            lambda f: np.save(f / "a.npy", np.ones((2, 3))),
            ["a.npy"],
            "a.npy: the array has examples of shape [3], and the model takes [1, 8, 8]",
        ),
        (lambda f: np.savez(f / "a.npz", u=1, v=2), ["a.npz"], "a.npz holds u, v: name the array of examples x"),
        (lambda f: (f / "a").mkdir(), ["a"], "a: holds no image"),
        (lambda f: (f / "a.txt").write_text("a\n"), ["a.txt"], "a.txt: the model is not one of sentences"),
        (
            lambda f: np.save(f / "a.npy", np.ones((2, 1, 8, 8))),
            ["a.npy", "num_samples=0"],
            "num_samples=0: num_samples",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_in_a_line(folder, make, arguments, message, tmp_path):
    make(tmp_path)
    done = run_command("score", str(folder), *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
