"""The tutorials run from their first line to their last in one folder, and end with what they promise."""

import csv
import json
import math
import os
import re
import shutil
import signal
import statistics
from pathlib import Path

import numpy as np
import pytest

from tests.recording.test_csv import read_table
from tests.support import readme
from tests.support.services import read_identity, read_steps
from tests.support.tiny import run_command, start_command
from tests.test_readme import FUNCTIONS, run
from tests.test_searches import read_trials, wait_for


def follow(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the blocks and the shortened commands of a tutorial in a folder; returns what the commands print."""
    monkeypatch.chdir(folder)
    text = readme.PAGES[f"docs/tutorials/{name}.md"].replace("num_epochs=30", "num_epochs=1")
    for example in re.findall(r"\]\(\.\./\.\./(examples/\w+\.py)\)", text):
        shutil.copy(readme.ROOT / example, folder)
    printed = []
    for step in readme.read_session(text):
        if isinstance(step, str):
            exec(compile(step, name, "exec"), {})  # the project's own text
            continue
        done = run(step, folder, folder / "data")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        printed.append(done.stdout)
    return "".join(printed)


def read_results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())


def read_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_every_tutorial_is_tested():
    assert {Path(name).stem for name in readme.TUTORIALS} == {
        "images",
        "latex",
        "loggers",
        "paper_row",
        "pythae",
        "search",
        "table",
    }


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
    verdicts = {row[0].lstrip("| "): row[8].partition(",")[0] for row in rows if row[0].startswith("| scikit_learn")}
    assert len(verdicts) == 3
    assert {verdict for name, verdict in verdicts.items() if "changed" not in name} == {"reproduced"}
    assert [name for name in verdicts if name.endswith("changed: model.latent_dim=20")]
    seeds = [read_results(tmp_path / "outputs" / "seeds" / str(job))["estimates"] for job in range(3)]
    values = [row["value"] for rows in seeds for row in rows if row["quantity"] == "log_likelihood"]
    (line,) = re.findall(r"^\| scikit_learn.*$", (tmp_path / "outputs/seeds/published.md").read_text(), re.MULTILINE)
    mean, error, deviation = statistics.mean(values), statistics.stdev(values) / math.sqrt(3), statistics.stdev(values)
    assert f"| {mean:.2f} ± {error:.2f} | 3 (standard deviation {deviation:.2f}) |" in line


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
