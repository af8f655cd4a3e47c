import json
import multiprocessing
from collections import Counter
from functools import partial

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState

from dgm_run.errors import ConfigError
from dgm_run.runner.run_lock import lock_run_folder
from dgm_run.runner.search import Search, SearchSettings
from dgm_run.runner.seeded_sampler import SeededSampler
from dgm_run.runner.trial_values import TrialOutcome

SPACE = {"x": FloatDistribution(-3, 3), "n": IntDistribution(1, 9)}


def open_search(folder, is_new=False, num_trials=14, num_jobs=1, objectives=None, sampler=TPESampler, storage="sqlite"):
    objectives = objectives or {"best": "maximize"}
    settings = SearchSettings(objectives, num_trials, num_jobs, storage, "search")
    return Search(folder, settings, SeededSampler(sampler, 3), None, is_new)


def value(params):
    return -((params["x"] - 1) ** 2) - 0.1 * params["n"]


def carry_out(search, num_batches=100):
    for _ in range(num_batches):
        for trial in search.take_trials(SPACE):
            search.finish(trial.number, TrialOutcome([value(trial.params)]))


def list_trials(search):
    return [(trial.number, trial.state.name, trial.params, trial.value) for trial in search.study.trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    search = open_search(tmp_path_factory.mktemp("whole"), is_new=True)
    carry_out(search)
    return list_trials(search)


def test_search_ends_after_its_trials(whole):
    assert [trial[0] for trial in whole] == list(range(14))
    assert [trial[3] for trial in whole] == [value(trial[2]) for trial in whole]


@pytest.mark.parametrize(
    ("storage", "num_finished"),
    [
        ("sqlite", 5),
        pytest.param("sqlite", 0, marks=pytest.mark.slow),
        pytest.param("journal", 12, marks=pytest.mark.slow),
    ],
)
def test_resumed_search_equals_an_unstopped_one(storage, num_finished, whole, tmp_path):
    stopped = open_search(tmp_path, is_new=True, storage=storage)
    carry_out(stopped, num_finished)
    (trial,) = stopped.take_trials(SPACE)  # and the process is killed
    stopped.worker_lock.release()
    resumed = open_search(tmp_path, storage=storage)
    (again,) = resumed.take_trials(SPACE)
    assert (again.number, again.params, again.is_resumed) == (trial.number, trial.params, True)
    resumed.finish(again.number, TrialOutcome([value(again.params)]))
    carry_out(resumed)
    assert list_trials(resumed) == whole


def test_trials_of_live_workers_are_left_alone(tmp_path):
    first, second = open_search(tmp_path, is_new=True), open_search(tmp_path)
    numbers = [each.take_trials(SPACE)[0].number for each in (first, second, first)]
    assert numbers == [0, 1, 2]
    first.close()
    assert [second.take_trials(SPACE)[0].number for _ in range(2)] == [0, 2]


def test_trial_whose_run_is_at_work_is_left_alone(tmp_path):
    first = open_search(tmp_path, is_new=True)
    first.take_trials(SPACE)
    first.close()
    second = open_search(tmp_path)
    with lock_run_folder(tmp_path / "0"):
        assert second.take_trials(SPACE)[0].number == 1
    assert second.take_trials(SPACE)[0].number == 0


def test_batch_of_a_worker_is_filled(tmp_path):
    first = open_search(tmp_path, is_new=True, num_jobs=3, num_trials=4)
    assert [each.number for each in first.take_trials(SPACE)] == [0, 1, 2]
    first.finish(1, TrialOutcome([0.0]))
    first.close()
    second = open_search(tmp_path, num_jobs=3, num_trials=4)
    assert [(each.number, each.is_resumed) for each in second.take_trials(SPACE)] == [(0, True), (2, True), (3, False)]
    assert second.take_trials(SPACE) == []


def test_failed_trial_has_no_value(tmp_path):
    search = open_search(tmp_path, is_new=True, num_trials=3)
    outcomes = [TrialOutcome(None, reason="killed"), TrialOutcome([1.0], is_pruned=True), TrialOutcome([2.0])]
    for outcome in outcomes:
        (trial,) = search.take_trials(SPACE)
        search.finish(trial.number, outcome)
    assert [(trial.state, trial.value) for trial in search.study.trials] == [
        (TrialState.FAIL, None),
        (TrialState.PRUNED, None),
        (TrialState.COMPLETE, 2.0),
    ]
    assert search.study.trials[0].user_attrs["reason"] == "killed"
    record = json.loads((tmp_path / "search.json").read_text())
    assert record["best"] == [2]
    assert [(each["state"], each["values"]) for each in record["trials"]] == [
        ("fail", None), ("pruned", None), ("complete", [2.0])
    ]  # fmt: skip


def test_best_of_two_objectives_is_the_pareto_front(tmp_path):
    search = open_search(tmp_path, True, 20, storage="journal", objectives={"best": "maximize", "seconds": "minimize"})
    for _ in range(20):
        (trial,) = search.take_trials(SPACE)
        search.finish(trial.number, TrialOutcome([value(trial.params), abs(trial.params["x"])]))
    points = [tuple(trial.values) for trial in search.study.trials]
    front = {
        i
        for i, (best, seconds) in enumerate(points)
        if not any(b >= best and s <= seconds and (b, s) != (best, seconds) for b, s in points)
    }
    assert 1 < len(front) < 20
    assert {trial.number for trial in search.find_best()} == front
    assert set(json.loads((tmp_path / "search.json").read_text())["best"]) == front


def test_incomplete_trial_of_a_killed_worker_fails(tmp_path):
    first = open_search(tmp_path, is_new=True)
    first.study.ask({"x": SPACE["x"]})  # killed before it chose n
    first.close()
    second = open_search(tmp_path)
    assert second.take_trials(SPACE)[0].number == 1
    assert second.study.trials[0].state == TrialState.FAIL


def test_other_objectives_or_space_are_refused(tmp_path):
    first = open_search(tmp_path, is_new=True)
    carry_out(first, 1)
    with pytest.raises(ConfigError, match="the search has {'best': 'maximize'}"):
        open_search(tmp_path, objectives={"seconds": "minimize"})
    with pytest.raises(ConfigError, match="the search has another space"):
        open_search(tmp_path).take_trials({"x": IntDistribution(0, 3), "n": SPACE["n"]})


def test_resumed_search_needs_its_storage(tmp_path):
    open_search(tmp_path, is_new=True).close()
    with pytest.raises(ConfigError, match="search.log: this file with the trials of the search is missing"):
        open_search(tmp_path, storage="journal")
    assert not (tmp_path / "search.log").exists()


def test_new_search_under_an_old_name_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    open_search(tmp_path / "a", is_new=True, storage=storage)
    with pytest.raises(ConfigError, match="study_name=search: the storage has this search already"):
        open_search(tmp_path / "b", is_new=True, storage=storage)


def work(folder, storage):
    search = open_search(folder, num_trials=20, num_jobs=2, sampler=RandomSampler, storage=storage)
    carry_out(search)
    search.close()


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_workers_share_one_search(storage, tmp_path):
    open_search(tmp_path, is_new=True, storage=storage).close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=partial(work, tmp_path, storage)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    trials = open_search(tmp_path, storage=storage).study.trials
    assert [trial.number for trial in trials] == list(range(20))
    assert Counter(trial.state for trial in trials) == {TrialState.COMPLETE: 20}
    assert len({trial.params["x"] for trial in trials}) == 20
    assert all(trial.value == value(trial.params) for trial in trials)
