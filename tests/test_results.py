"""Numbers that are kept in results/, and the plan of those to run."""

import json

import pytest
import yaml

import dgm_run
from benchmarks.results import describe_plan, keep_runs
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.presets import read_presets
from dgm_run.report.runs import collect_runs
from tests.support.tiny import run_here

PRESET = "scikit_learn/digits_ppca2"


@pytest.fixture
def kept(tmp_path, monkeypatch, capfd):
    arguments = [f"+experiment={PRESET}", "trainer.max_epochs=300", f"data_dir={tmp_path / 'here'}"]
    for seed in ((), ("seed=3",)):
        folder = tmp_path / "runs" / f"run{len(seed)}"
        done = run_here("main", [*arguments, *seed, f"hydra.run.dir={folder}"], tmp_path, monkeypatch, capfd)
        assert done.returncode == 0, done.stderr
    return keep_runs(tmp_path / "runs", tmp_path / "results")


def test_copy_holds_the_number_and_nothing_of_the_machine(kept, tmp_path):
    first = tmp_path / "results" / PRESET / "trainer.max_epochs=300"
    assert kept == [first, first.with_name(f"{first.name},seed=3")]
    original = json.loads((tmp_path / "runs" / "run0" / "results.json").read_text())
    copy = json.loads((kept[0] / "results.json").read_text())
    assert copy["estimates"] == original["estimates"]
    assert "host" not in copy["environment"]
    for path in kept[0].rglob("*"):
        assert path.is_dir() or str(tmp_path) not in path.read_text(), path
    assert not list(kept[0].rglob("*.safetensors"))
    overrides = yaml.safe_load((kept[0] / ".hydra" / "overrides.yaml").read_text())
    assert overrides == [f"+experiment={PRESET}", "trainer.max_epochs=300"]


def test_curves_are_thinned_to_their_ends(kept, tmp_path):
    def points(folder):
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [row["step"] for row in rows if row["name"] == "train/loss"]

    all_points, few = points(tmp_path / "runs" / "run0"), points(kept[0])
    assert len(all_points) == 300
    assert 100 <= len(few) <= 200
    assert few[-1] == all_points[-1]


def test_plan_names_the_verdict(kept, tmp_path):
    lines = describe_plan(list(read_presets(conf_dir() / "experiment")), collect_runs(tmp_path / "results"))
    (line,) = [each for each in lines if f" {PRESET}:" in each]
    assert "reproduced" in line
    assert sum(" -  " in each for each in lines) == len(lines) - 3
    assert lines[-1].startswith("0 of ")


def test_report_reads_what_is_kept(kept, tmp_path):
    frame = dgm_run.results(tmp_path / "results")
    assert {0, 3} <= set(frame["seed"].astype(int))
