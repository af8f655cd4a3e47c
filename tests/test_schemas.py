"""results.json and metrics.jsonl are as their schemas in docs/ say."""

import json

import pytest

from tests.support.readme import ROOT
from tests.support.tiny import run_here

jsonschema = pytest.importorskip("jsonschema")


def read_schema(name: str) -> dict:
    return json.loads((ROOT / "docs" / f"{name}.schema.json").read_text())


def close(schema: dict) -> dict:
    """Returns the schema with every object closed that lists its fields: no field may lack a description."""
    closed = {name: close(value) if isinstance(value, dict) else value for name, value in schema.items()}
    return closed | ({"additionalProperties": False} if "properties" in schema else {})


@pytest.fixture(scope="module")
def is_as_stated():
    return jsonschema.Draft202012Validator(close(read_schema("results"))).validate


@pytest.mark.parametrize(
    "overrides",
    [
        ("prior=vampprior",),
        ("model=rbm",),
        ("trainer=none", "estimators=[importance_sampling,sample_quality]"),
    ],
)
def test_a_run_writes_what_the_schemas_say(overrides, is_as_stated, tmp_path, monkeypatch, capfd):
    short = ["trainer.max_epochs=1", "trainer.max_steps=2"] if "trainer=none" not in overrides else []
    folder = tmp_path / "run"
    done = run_here("main", [*overrides, *short, f"hydra.run.dir={folder}"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    is_as_stated(json.loads((folder / "results.json").read_text()))
    metrics = jsonschema.Draft202012Validator(read_schema("metrics"))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    for line in lines:
        metrics.validate(json.loads(line))
    assert lines


def test_kept_results_are_as_stated(is_as_stated):
    paths = sorted((ROOT / "results").rglob("results.json"))
    assert len(paths) > 20
    for path in paths:
        is_as_stated(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "broken", [{"estimates": [{}]}, {"training": None}, {"seed": "x"}, {"parameters": 1.5}, {"no_such_field": 1}]
)
def test_broken_results_are_refused(broken, is_as_stated):
    path = next(iter(sorted((ROOT / "results").rglob("results.json"))))
    with pytest.raises(jsonschema.ValidationError):
        is_as_stated(json.loads(path.read_text()) | broken)
