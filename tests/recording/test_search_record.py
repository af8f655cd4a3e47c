import json

import pytest

from dgm_run.recording.search_record import SearchTrial, read_search

CONTENT = {
    "objectives": {"best": "maximize", "seconds": "minimize"},
    "best": [1],
    "trials": [
        {"number": 0, "state": "fail", "params": {"seed": "1"}, "values": None},
        {"number": 1, "state": "complete", "params": {"seed": "2"}, "values": [-3.5, 2]},
    ],
}


def test_record_is_read(tmp_path):
    (tmp_path / "search.json").write_text(json.dumps(CONTENT))
    record = read_search(tmp_path)
    assert record.objectives == CONTENT["objectives"]
    assert record.complete == [SearchTrial(1, "complete", {"seed": "2"}, [-3.5, 2])]
    assert len(record.trials) == 2


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        "[]",
        json.dumps(CONTENT | {"trials": [{"number": 1}]}),
        json.dumps(CONTENT | {"trials": [CONTENT["trials"][1] | {"values": [1.0]}]}),
        json.dumps(CONTENT | {"trials": [CONTENT["trials"][1] | {"values": [1.0, float("nan")]}]}),
    ],
)
def test_damaged_record_is_none(content, tmp_path):
    if content is not None:
        (tmp_path / "search.json").write_text(content)
    assert read_search(tmp_path) is None
