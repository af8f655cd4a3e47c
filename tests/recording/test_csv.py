import csv
import json

import dgm_run
from dgm_run.recording.csv import CSVLogger
from dgm_run.recording.logged_run import LoggedRun
from tests.support.tiny import TINY, metrics


def read_table(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_a_step_and_a_column_for_a_name(tmp_path):
    logger = CSVLogger()
    logger.open(LoggedRun(tmp_path, {}, None))
    logger.scalars({"train/loss": 1.5}, 3, 1)
    logger.scalars({"speed": 9.0}, 3, None)
    logger.scalars({"train/loss": 1.25}, 6, 2)
    logger.scalars({"test/elbo": -2.0}, 6, 2)
    assert read_table(tmp_path) == [
        {"step": "3", "epoch": "1", "train/loss": "1.5", "test/elbo": ""},
        {"step": "6", "epoch": "2", "train/loss": "1.25", "test/elbo": "-2.0"},
    ]


def test_table_of_a_resumed_run_is_that_of_a_whole_one(tmp_path):
    options = (*TINY, "logger=[csv]")
    dgm_run.run(dgm_run.compose(*options, "trainer.max_epochs=3"), tmp_path / "whole")
    dgm_run.run(dgm_run.compose(*options), tmp_path / "resumed")
    dgm_run.run(dgm_run.compose(*options, "trainer.max_epochs=3", "trainer.resume=auto"), tmp_path / "resumed")
    rows = read_table(tmp_path / "whole")
    assert rows == read_table(tmp_path / "resumed")
    found = {(int(row["step"]), name, float(row[name])) for row in rows for name in row if "/" in name and row[name]}
    assert found == {(line["step"], line["name"], line["value"]) for line in metrics(tmp_path / "whole")}
    assert not list(tmp_path.glob("*/events.out.tfevents.*"))


def test_file_that_loses_a_line_is_written_anew(tmp_path):
    lines = [{"step": step, "epoch": 1, "name": "a", "value": float(step)} for step in (1, 2)]
    logger = CSVLogger()
    logger.open(LoggedRun(tmp_path, {}, None))
    for line in lines:
        logger.scalars({line["name"]: line["value"]}, line["step"], line["epoch"])
    (tmp_path / "metrics.csv").write_text(json.dumps(lines))
    logger.open(LoggedRun(tmp_path, {}, 2))
    assert read_table(tmp_path) == []
