import math

import pytest

from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.doubling import check_target, double_until
from dgm_run.estimators.likelihood.reverse_ais import RAISE


def lengths_until(met_at, first=2, longest=64):
    """Runs paths that meet the target from a length on; returns their lengths, the progress and the last length."""
    lengths, progress = [], []

    def anneal(num, report):
        lengths.append(num)
        report(0, num)
        return num

    last = double_until(lambda num: num >= met_at, anneal, first, longest, lambda *parts: progress.append(parts))
    return lengths, progress, last


def test_first_path_may_meet_the_target():
    assert lengths_until(2) == ([2], [(0, 2)], 2)


def test_path_that_meets_the_target_runs_again():
    lengths, progress, last = lengths_until(7)
    assert (lengths, last) == ([2, 4, 8, 8], 8)
    assert progress == [(0, 2), (2, 6), (6, 14), (14, 22)]


@pytest.mark.parametrize(("longest", "lengths"), [(8, [2, 4, 8]), (15, [2, 4, 8]), (3, [2]), (1, [2])])
def test_paths_end_at_the_limit(longest, lengths):
    assert lengths_until(100, longest=longest)[0] == lengths


def test_longest_path_counts_whatever_it_meets():
    assert lengths_until(8, longest=8)[0] == [2, 4, 8]


@pytest.mark.parametrize("target", [0.0, -1.0, math.nan])
def test_target_must_be_positive(target):
    with pytest.raises(ValueError, match="target_gap = .* must be positive; target_gap=null"):
        check_target("target_gap", target, 10)


def test_limit_is_needed_only_with_a_target():
    check_target("target_gap", None, None)
    check_target("target_gap", 0.1, 10)
    with pytest.raises(ValueError, match="needs max_num_temperatures"):
        check_target("target_gap", 0.1, None)


def test_settings_name_the_target_where_there_is_one():
    path = {"num_chains": 3, "num_temperatures": 20, "schedule": "linear"}
    assert AIS(3, 20, "linear", None, 9)._list_settings() == path
    more = {"target_gap": 0.1, "max_num_temperatures": 20}  # the first path is longer than the limit of 9
    assert RAISE(1, 3, 20, "linear", 0.1, 9).list_settings() == path | more
