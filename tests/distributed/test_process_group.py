import os
import time

import torch

from dgm_run import rng
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError, TrainingError
from tests.support.workers import open_store, run_together, start_workers


def blocks(n, size):
    """Three draws for each of n things, and their numbers; a process alone does the same."""
    rng.reseed(0, "test")
    reports = []

    def find(block):
        numbers = torch.arange(n)[block]
        return {"draws": torch.rand(len(numbers), 3), "numbers": numbers, "log": numbers.double().log()}

    found = process_group.map_blocks(n, size, find, lambda done, total: reports.append((done, total)))
    return found, torch.rand(2), reports


def shares():
    """Returns the blocks of this process: first and last position, and a random number each."""
    found = []
    process_group.for_each_block(
        7, 10, 4, lambda block: found.append([block.start, block.stop, torch.rand(1).item()]), lambda done, total: None
    )
    return found


def as_lists(found, after):
    return [{name: rows.tolist() for name, rows in found.items()}, after.tolist()]


def talk(folder):
    with process_group.open_process_group(2, 60.0):
        me = process_group.rank()
        found = {
            "size": process_group.size(),
            "total": process_group.all_reduce_sum(torch.tensor([1.0, 10.0 * me])).tolist(),
            "all_gathered": process_group.all_gather(torch.tensor([1.0, me])).tolist(),
            "shares": shares(),
            "max": process_group.all_reduce_max(me, 1 - me, 5),
            "from_main": process_group.broadcast_from_main(lambda: f"made by {process_group.rank()}"),
            "blocks": [as_lists(*blocks(n, size)[:2]) for n, size in SIZES],
        }

        def see():
            path = os.path.join(folder, "made")
            if process_group.is_main_process():
                time.sleep(0.5)
                open(path, "w").close()
            return os.path.exists(path)

        found["main_first"] = process_group.all_reduce_sum(
            torch.tensor(float(process_group.main_process_first(see)))
        ).item()
        return found


SIZES = [(10, 3), (7, 7), (1, 5), (4, 1)]


def test_processes_share_the_work_of_one(tmp_path):
    first, second = run_together(talk, str(tmp_path))
    assert first["size"] == 2
    assert first["total"] == [2.0, 10.0]
    assert first["all_gathered"] == [[1.0, 0.0], [1.0, 1.0]]
    assert sorted(first["shares"] + second["shares"]) == sorted(shares())
    assert first["max"] == [1, 1, 5]
    assert first["from_main"] == "made by 0"
    assert first["main_first"] == 2.0  # both have seen the file of the main process
    for each in (first, second):
        for (n, size), found in zip(SIZES, each["blocks"], strict=True):
            assert found == as_lists(*blocks(n, size)[:2]), (n, size)
    own = ("blocks", "shares")
    assert {name: each for name, each in first.items() if name not in own} == {
        name: each for name, each in second.items() if name not in own
    }


def test_blocks_have_random_numbers():
    found, _, reports = blocks(10, 3)
    assert len(found["draws"].unique()) == 30
    assert found["numbers"].tolist() == list(range(10))
    assert found["log"][0] == -torch.inf  # sums over processes leave it
    assert reports == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert not torch.equal(blocks(10, 3)[0]["draws"], blocks(10, 5)[0]["draws"])


def test_a_process_alone_agrees_with_itself():
    assert process_group.size() == 1
    assert process_group.is_main_process()
    assert not process_group.is_worker()
    x = torch.ones(2)
    assert process_group.all_reduce_sum(x) is x
    assert process_group.all_gather(x).tolist() == [[1.0, 1.0]]
    assert process_group.all_reduce_max(3, 1) == [3, 1]
    assert process_group.broadcast_from_main(lambda: 7) == process_group.main_process_first(lambda: 7) == 7
    with process_group.open_process_group(1, 1.0):
        assert process_group.size() == 1


def of_another_number():
    with process_group.open_process_group(3, 60.0):
        pass


def test_wrong_process_count_is_refused():
    for error in run_together(of_another_number):
        assert isinstance(error, ConfigError)
        assert str(error) == "trainer.devices=3, and 2 processes were started: set it to 2"


def hang():
    with process_group.open_process_group(2, 2.0):
        if process_group.rank() == 1:
            time.sleep(600)
        process_group.all_reduce_max(0)


def test_a_process_that_hangs_ends_the_run():
    with start_workers(open_store(), 0, hang) as (main, _):
        error = main.wait()
    assert isinstance(error, TrainingError)
    assert "a process sent no message for trainer.worker_timeout_seconds: it hangs, and the run is ended" in str(error)
