"""The tutorials run from their first line to their last in one folder, and end with what they promise."""

import csv
import json
import math
import os
import re
import shutil
import signal
import statistics
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import dgm_run
from tests.recording.test_csv import read_table
from tests.support import readme
from tests.support.services import read_identity, read_steps
from tests.support.tiny import CommandResult, run_command, start_command
from tests.test_readme import FUNCTIONS, run
from tests.test_searches import read_trials, wait_for


def follow(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str] | None = None) -> str:
    """Runs the blocks and the commands of a tutorial in a folder; returns what the commands print.

    Commands are shortened as those of other pages. With `changes`, texts and their replacements, they run as shown but
    for these.
    """
    monkeypatch.chdir(folder)
    text = readme.PAGES[f"docs/tutorials/{name}.md"]
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    if changes is None:
        text = text.replace("num_epochs=30", "num_epochs=1")  # of pythae
    for example in re.findall(r"\]\(\.\./\.\./(examples/\w+\.py)\)", text):
        shutil.copy(readme.ROOT / example, folder)
    printed = []
    for step in readme.read_session(text):
        if isinstance(step, str):
            exec(compile(step, name, "exec"), {})  # the project's own text
            continue
        done = run(step, folder, folder / "data") if changes is None else run_as_shown(step, folder)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        printed.append(done.stdout)
    return "".join(printed)


def run_as_shown(arguments: list[str], folder: Path) -> CommandResult:
    return run_command(FUNCTIONS[arguments[0]], *arguments[1:], cwd=folder)


def read_results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_every_tutorial_is_tested():
    tested = {
        "doubt",
        "images",
        "labels",
        "latex",
        "loggers",
        "paper_row",
        "pythae",
        "rbm",
        "search",
        "sentences",
        "table",
    }
    assert {Path(name).stem for name in readme.TUTORIALS} == tested


@pytest.mark.slow
def test_images_give_samples_and_scores(tmp_path, monkeypatch):
    follow("images", tmp_path, monkeypatch)
    run_dir = tmp_path / "outputs" / "pictures"
    rows = {row["quantity"]: row for row in read_results(run_dir)["estimates"]}
    assert rows["log_likelihood"]["stderr"] > 0
    assert rows["log_likelihood"]["num_examples"] == 200
    assert {"frechet_random", "precision", "recall"} <= set(rows)
    drawn = run_dir / "drawn" / "seed_0"
    with np.load(drawn / "samples.npz") as arrays:
        assert {arrays[name].shape for name in ("samples", "samples_drawn")} == {(64, 1, 8, 8)}
        assert set(np.unique(arrays["samples_drawn"])) == {0, 1}
    assert (drawn / "nearest_neighbours.png").exists()
    head, *scores = read_rows(run_dir / "scores" / "pictures.csv")
    assert [row[head.index("example")] for row in scores] == [f"{i:04d}.png" for i in range(1797)]
    assert all(math.isfinite(float(row[head.index("log_likelihood")])) for row in scores)


@pytest.mark.slow
def test_holes_of_a_table_are_filled(tmp_path, monkeypatch):
    printed = follow("table", tmp_path, monkeypatch)
    head, *given = read_rows(tmp_path / "people.csv")
    assert any("" in row for row in given)
    for name in ("completed", "completed_drawn"):
        found_head, *found = read_rows(tmp_path / "outputs" / "people" / "3" / "drawn" / "seed_0" / f"{name}.csv")
        assert found_head == head
        for row, before in zip(found, given, strict=True):
            assert "" not in row
            assert [cell for cell, old in zip(row, before, strict=True) if old] == [cell for cell in before if cell]
    table = re.findall(r"^\| ([25]) \| (gaussian|student_t) \| .*± ", printed, re.MULTILINE)
    assert sorted(table) == [(size, kind) for size in "25" for kind in ("gaussian", "student_t")]


def test_seeds_become_rows_of_latex(tmp_path, monkeypatch):
    """Means and errors in the table are those of the six results."""
    follow("latex", tmp_path, monkeypatch)
    folder = tmp_path / "outputs" / "priors"
    text = (folder / "report.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") >= 1
    for prior, jobs in (("standard", range(3)), ("vampprior", range(3, 6))):
        estimates = [read_results(folder / str(job))["estimates"] for job in jobs]
        values = [row["value"] for rows in estimates for row in rows if row["quantity"] == "log_likelihood"]
        expected = (statistics.mean(values), statistics.stdev(values) / math.sqrt(3))
        cells = re.search(rf"^{prior} & (.*?) & .* & 3 \\\\$", text, re.MULTILINE)[1]
        shown = re.search(r"(-\d+\.\d+) \\pm (\d+\.\d+)", cells).groups()
        for number, value in zip(shown, expected, strict=True):
            assert float(number) == pytest.approx(value, abs=0.51 * 10.0 ** -len(number.partition(".")[2]))


@pytest.mark.slow
def test_rows_of_a_paper_are_judged(tmp_path):
    commands = readme.read_commands(readme.PAGES["docs/tutorials/paper_row.md"])
    for name, *arguments in commands:
        if not any(each.startswith("+experiment=vampprior_2018") for each in arguments):  # other data, and hours
            done = run_command(FUNCTIONS[name], *arguments, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in (tmp_path / "outputs" / "rows" / "published.md").read_text().splitlines()]
    verdicts = {row[0].lstrip("| "): row[3].partition(",")[0] for row in rows if row[0].startswith("| scikit_learn")}
    assert len(verdicts) == 3
    assert {verdict for name, verdict in verdicts.items() if "changed" not in name} == {"reproduced"}
    assert [name for name in verdicts if "changed: model.latent_dim=20" in name]
    seeds = [read_results(tmp_path / "outputs" / "seeds" / str(job))["estimates"] for job in range(3)]
    values = [row["value"] for rows in seeds for row in rows if row["quantity"] == "log_likelihood"]
    (line,) = re.findall(r"^\| scikit_learn.*$", (tmp_path / "outputs/seeds/published.md").read_text(), re.MULTILINE)
    mean, error, deviation = statistics.mean(values), statistics.stdev(values) / math.sqrt(3), statistics.stdev(values)
    assert f"| {mean:.2f} ± {error:.2f} (3 runs, standard deviation {deviation:.2f}) |" in line


@pytest.mark.slow
def test_pythae_model_gets_likelihood_with_error(tmp_path, monkeypatch):
    pytest.importorskip("pythae")
    follow("pythae", tmp_path, monkeypatch)
    rows = read_results(tmp_path / "outputs" / "pythae")["estimates"]
    found = {row["settings"]["num_samples"]: row for row in rows if row["quantity"] == "log_likelihood"}
    (few, many) = sorted(found)
    assert few < many == 2000
    assert {row["num_examples"] for row in found.values()} == {397}
    assert all(row["stderr"] > 0 for row in found.values())
    (elbo,) = [row for row in rows if row["quantity"] == "elbo" and row["settings"]["num_samples"] == 2000]
    assert elbo["value"] < found[few]["value"] < found[many]["value"] + 3 * found[few]["stderr"]


@pytest.mark.slow
def test_resumed_search_equals_unstopped_one(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    start, resume, add, report = readme.read_session(readme.PAGES["docs/tutorials/search.md"])
    small = {"hydra.sweeper.n_trials=6": "hydra.sweeper.n_trials=3", "trainer.max_epochs=60": "trainer.max_epochs=40"}
    assert set(small) < set(start)
    more = ("estimators.importance_sampling.num_samples=2", "trainer.checkpoint_seconds=0.2")
    arguments = [*(small.get(each, each) for each in start[1:]), *more]
    folder = tmp_path / "outputs" / "search"
    with start_command(*arguments, cwd=tmp_path) as process:
        wait_for(folder / "1" / "checkpoints" / "last")
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
    assert process.exitcode == 130
    assert [trial["state"] for trial in read_trials(folder)] == ["complete", "running"]
    assert "to run the missing jobs: dgm-run sweep.resume=" in (tmp_path / "stderr").read_text()
    done = run_command("main", *resume[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trials of the search: 1 complete, 1 running, 3 in all\n" in done.stdout
    assert "resuming after step" in done.stdout
    (tmp_path / "unstopped").mkdir()
    done = run_command("main", *arguments, cwd=tmp_path / "unstopped")
    assert done.returncode == 0, done.stderr
    resumed = read_trials(folder)
    assert resumed == read_trials(tmp_path / "unstopped" / "outputs" / "search")
    assert [trial["state"] for trial in resumed] == ["complete"] * 3
    done = run_command("main", *(each.replace("n_trials=8", "n_trials=4") for each in add[1:]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_trials(folder)[:3] == resumed
    assert len(read_trials(folder)) == 4
    done = run_command("report", *report[1:], cwd=tmp_path)
    assert "## Search: best trial" in done.stdout


@pytest.mark.slow
def test_each_logger_has_every_step(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    from tests.recording import test_wandb

    follow("loggers", tmp_path, monkeypatch)
    run_dir = tmp_path / "outputs" / "digits"
    steps = read_steps(run_dir)
    assert {"train/loss", "valid/elbo", "test/log_likelihood"} <= set(steps)
    table = read_table(run_dir)
    rows = test_wandb.read_rows(run_dir)
    identity = read_identity(run_dir, "mlflow")
    client = mlflow.MlflowClient(identity["tracking_uri"])
    for name, expected in steps.items():
        assert [(int(row["step"]), float(row[name])) for row in table if row[name]] == expected, name
        assert [(row["_step"], row[name]) for row in rows if name in row] == expected, name
        history = client.get_metric_history(identity["run_id"], name)
        assert sorted((each.step, each.value) for each in history) == expected, name


def read_rbm(folder):
    """Returns the parameters of an RBM, float64: W (D, M), b (D,), c (M,)."""
    model = dgm_run.load(folder).model
    names = ("weight", "visible_bias", "hidden_bias")
    return [getattr(model, name).detach().double().numpy() for name in names]


def negative_free_energies(folder, x):
    """Computes -F(x) = b'x + sum_j log(1 + exp(c_j + x'W_j)), (N,)."""
    W, b, c = read_rbm(folder)
    x = x.reshape(len(x), -1).astype(float)
    return x @ b + np.logaddexp(0, x @ W + c).sum(1)


def enumerate_log_z(folder):
    """Computes log Z as a sum over all hidden states."""
    W, b, c = read_rbm(folder)
    h = np.array(list(product((0.0, 1.0), repeat=len(c))))
    return logsumexp(h @ c + np.logaddexp(0, h @ W.T + b).sum(1))


def read_scores(folder, name):
    head, *rows = read_rows(folder / "scores" / f"{name}.csv")
    return np.array([float(row[head.index("log_likelihood")]) for row in rows])


@pytest.mark.slow
def test_rbm_says_when_ais_is_wrong(tmp_path, monkeypatch):
    changes = {"num_hidden=200": "num_hidden=50", "hydra.run.dir=": "trainer.max_epochs=40 hydra.run.dir="}
    printed = follow("rbm", tmp_path, monkeypatch, changes)
    folder = tmp_path / "outputs" / "small"
    test = dgm_run.load(folder).data.test.batch(slice(None)).numpy()
    truth = (negative_free_energies(folder, test) - enumerate_log_z(folder)).mean()
    rows = read_results(folder)["estimates"]
    exact, few, many = (row for row in rows if row["quantity"] == "log_likelihood")
    assert exact["value"] == pytest.approx(truth, abs=1e-3)
    assert (few["settings"]["num_temperatures"], many["settings"]["num_temperatures"]) == (10, 500)
    assert few["interval"][0] < truth < few["interval"][1]
    assert "reverse annealing lies" in few["warning"]
    assert many["warning"] is None
    assert abs(many["value"] - truth) < 0.1 < few["stderr"]
    low_few, low_many = (row for row in rows if row["quantity"] == "log_likelihood_conservative")
    assert few["value"] - low_few["value"] > 10 * abs(many["value"] - low_many["value"])
    folder = tmp_path / "outputs" / "rbm"
    bits, mirrored = np.load("bits.npy"), np.load("mirrored.npy")
    assert np.array_equal(mirrored, bits[:, :, ::-1])
    scores = np.concatenate([read_scores(folder, "bits.npy"), read_scores(folder, "mirrored.npy")])
    log_f = negative_free_energies(folder, np.concatenate([bits, mirrored]))
    assert scores - scores[0] == pytest.approx(log_f - log_f[0], abs=1e-3)  # one log Z for all
    assert scores[:1797].mean() > scores[1797:].mean() + 3
    assert "collapsed" not in printed
    assert (folder / "drawn" / "seed_0" / "nearest_neighbours.png").exists()


@pytest.mark.slow
def test_p_of_x_declines_other_images(tmp_path, monkeypatch, capsys):
    """Labels of noise have probability 1, and none of them is decided; errors of the decided digits are few."""
    follow("doubt", tmp_path, monkeypatch, changes={})
    folder = tmp_path / "outputs" / "doubt"
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \| (.+) \| (.*) \|$", capsys.readouterr().out, re.MULTILINE)[2:]
    table = {name: [float(number or "nan") for number in numbers] for name, *numbers in rows}
    shown = readme.PAGES["docs/tutorials/doubt.md"]
    for name, numbers in table.items():
        (line,) = re.findall(rf"^\| {name} \| (.+) \|$", shown, re.MULTILINE)
        quoted = [float(number.strip() or "nan") for number in line.split("|")]
        assert numbers == pytest.approx(quoted, abs=2, nan_ok=True), name
    assert [table[name][2] for name in ("rotated", "noise")] == [0, 0]
    assert table["noise"][0] > 0.99 > 0.5 > table["test"][1] / 100
    assert table["test"][3] < table["test"][1] / 2
    estimates = read_results(folder)["estimates"]
    found = {row["quantity"]: row["value"] for row in estimates if row["estimator"] == "log_likelihood"}
    assert min(found["auroc_rotated"], found["auroc_noise"]) > 0.99 > 0.9 > found["auroc_half_contrast"]
    for name in ("risk_coverage", "out_of_distribution"):
        assert (folder / name / "epoch_0050.png").exists()


@pytest.mark.slow
def test_m2_errs_less_than_few_labels_allow(tmp_path, monkeypatch):
    """A nearest neighbour that knows all labels finds the label that samples were drawn for."""
    changes = {"label_seed=0,1,2": "label_seed=0", "max_epochs=50": "max_epochs=40", "_0050.png": "_0040.png"}
    follow("labels", tmp_path, monkeypatch, changes)
    folder = tmp_path / "outputs" / "labels" / "0"
    rows = {row["quantity"]: row for row in read_results(folder)["estimates"]}
    baselines = [rows[f"error_{name}"] for name in ("nearest_neighbour", "logistic_regression", "svm")]
    assert rows["error"]["value"] < min(row["value"] for row in baselines)
    assert rows["error"]["stderr"] == pytest.approx(
        math.sqrt(rows["error"]["value"] * (100 - rows["error"]["value"]) / 360), rel=0.05
    )
    model = dgm_run.load(folder)
    train = model.data.train
    assert np.bincount(train.y[train.labelled]).tolist() == [10] * 10
    assert (folder / "by_class" / "epoch_0040.png").exists()
    assert (folder / "drawn" / "label_3_seed_0" / "samples_drawn.png").exists()
    digits = load_digits()
    judge = KNeighborsClassifier(3).fit(digits.data / 16, digits.target)
    labels = np.arange(10).repeat(40)
    samples = np.concatenate([model.sample(40, y=y, seed=0).numpy().reshape(40, 64) for y in range(10)])
    assert (judge.predict(samples) == labels).mean() > 0.65  # 0.1 by chance


def read_estimates(folder: Path) -> dict[tuple[str, str], float]:
    """Returns the values of a run by quantity and estimator."""
    return {(row["quantity"], row["estimator"]): row["value"] for row in read_results(folder)["estimates"]}


@pytest.mark.slow
def test_free_bits_keep_codes_of_sentences(tmp_path, monkeypatch):
    changes = {"max_epochs=12": "max_epochs=8", "num_test=300": "num_test=100", "max_epochs=20": "max_epochs=1",
               "dataset=pydoc": "dataset=pydoc dataset.source.num_test=20"}  # fmt: skip
    follow("sentences", tmp_path, monkeypatch, changes)
    folder = tmp_path / "outputs" / "sentences"
    vaes = [read_estimates(folder / name) for name in ("elbo", "vae/0", "vae/1", "vae/2")]
    kl = [rows["kl", "monte_carlo"] for rows in vaes]
    assert kl == sorted(kl)
    assert kl[0] < 0.05 < 1 < kl[2] < 3 < kl[3]
    for rows in vaes:
        log_p = rows["log_likelihood", "importance_sampling"]
        assert rows["elbo", "monte_carlo"] < log_p
        lost = rows["true_log_likelihood", "data"] - log_p
        assert rows["kl_from_truth", "importance_sampling"] == pytest.approx(lost, abs=1e-3)
    rows = read_estimates(folder / "language_model")
    perplexities = [rows["perplexity", f"{n}-gram"] for n in (1, 2, 3)]
    assert rows["perplexity", "exact"] < min(perplexities)
    words = set((folder / "vae" / "2" / "vocabulary.txt").read_text().split())
    paths = (folder / "vae" / "2" / "drawn" / "seed_0" / "homotopies.txt").read_text().strip().split("\n\n")
    assert len(paths) > 1
    assert all(set(path.split()) <= words for path in paths)
    assert len({len(path.split("\n")) for path in paths}) == 1
    for job in ("0", "1"):
        assert ("perplexity", "3-gram") in read_estimates(tmp_path / "outputs" / "pydoc" / job)
