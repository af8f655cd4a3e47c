import json
import re

import pytest

from dgm_run.report.searches import collect_searches, draw_search

POINTS = [(-3.0, 10.0), (-1.0, 30.0), (-2.0, 40.0), (-2.5, 20.0)]


@pytest.fixture
def write_search(tmp_path):
    """Writes a search with these values of its objectives, and reads it as a report does."""

    def write(objectives, best, values):
        trials = [
            {"number": i, "state": "complete", "params": {"optimizer.lr": 0.1 / 3, "prior": f"<{i}>"}, "values": each}
            for i, each in enumerate(values)
        ]
        trials.append({"number": len(values), "state": "fail", "params": {}, "values": None})
        (tmp_path / "sweep").mkdir()
        content = {"objectives": objectives, "best": best, "trials": trials}
        (tmp_path / "sweep" / "search.json").write_text(json.dumps(content))
        (search,) = collect_searches(tmp_path)
        return search

    return write


def read_dots(svg):
    """Returns the places of the dots by their trial, and the trials of the filled ones."""
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="4" fill="(.*?)".*?<title>trial (\d+):', svg)
    places = {int(number): (float(x), -float(y)) for x, y, _, number in dots}
    return places, [int(number) for _, _, fill, number in dots if fill != "none"]


def test_pareto_front_is_filled_and_in_scale(write_search):
    search = write_search({"best": "maximize", "seconds": "minimize"}, [0, 1, 3], POINTS)
    svg = draw_search(search.record)
    places, filled = read_dots(svg)
    assert filled == [0, 1, 3]
    for value, place in ((0, 1), (1, 0)):  # an objective, and its axis
        low, high = (min(p[value] for p in POINTS), max(p[value] for p in POINTS))
        start, end = (min(p[place] for p in places.values()), max(p[place] for p in places.values()))
        for number, point in enumerate(POINTS):
            share = (point[value] - low) / (high - low)
            assert places[number][place] == pytest.approx(start + share * (end - start), abs=0.11)
    assert "&lt;0&gt;" in svg
    assert "<0>" not in svg


def test_single_objective_is_drawn_over_trials(write_search):
    search = write_search({"best": "maximize"}, [1], [(-3.0,), (-1.0,), (-2.0,)])
    places, filled = read_dots(draw_search(search.record))
    assert filled == [1]
    assert sorted(places, key=lambda number: places[number][0]) == [0, 1, 2]
    assert sorted(places, key=lambda number: places[number][1]) == [0, 2, 1]


def test_three_objectives_have_two_pictures(write_search):
    objectives = {"best": "maximize", "seconds": "minimize", "parameters": "minimize"}
    search = write_search(objectives, [0], [(1.0, 2.0, 3.0)])
    assert draw_search(search.record).count("<svg") == 2


def test_table_lists_the_best_trials(write_search):
    search = write_search({"best": "maximize", "seconds": "minimize"}, [0, 1, 3], POINTS)
    columns = {head: [cell.shown for cell in cells] for head, cells in search.make_columns().items()}
    assert columns == {
        "trial": ["0", "3", "1"],
        "best": ["-3", "-2.5", "-1"],
        "seconds": ["10", "20", "30"],
        "optimizer.lr": ["0.0333333"] * 3,
        "prior": ["<0>", "<3>", "<1>"],
    }
    assert search.title == "Search sweep: Pareto front"
    assert search.describe() == "The search is to maximize best and minimize seconds. Trials: 4 complete, 1 fail."
