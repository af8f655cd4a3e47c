"""Trackio with its local store, read from its database."""

import json
import sqlite3

import pytest

from tests.support.services import read_identity, read_steps, train_killed_run

trackio = pytest.importorskip("trackio")


@pytest.mark.slow
def test_killed_run_has_each_step_once(tmp_path, monkeypatch):
    from trackio.utils import TRACKIO_DIR  # chosen at import

    project = f"test-{tmp_path.name}-{tmp_path.parent.name}"
    train_killed_run(tmp_path, monkeypatch, "logger=[trackio]", f"logger.trackio.project={project}")
    (path,) = TRACKIO_DIR.glob(f"{project}.db")
    try:
        with sqlite3.connect(path) as database:
            rows = database.execute("select run_id, step, metrics from metrics order by id").fetchall()
    finally:
        trackio.delete_project(project, force=True)
    assert {row[0] for row in rows} == {read_identity(tmp_path, "trackio")["id"]}
    values = [(step, json.loads(metrics)) for _, step, metrics in rows]
    for name, expected in read_steps(tmp_path).items():
        assert [(step, row[name]) for step, row in values if name in row] == expected, name
    assert [step for step, row in values if "samples" in row] == [9]
