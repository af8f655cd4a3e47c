import math
from dataclasses import replace

import pytest
import torch
from scipy import stats

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.intervals import ComputingErrors, Margin
from dgm_run.estimators.proportions import estimate_proportion
from dgm_run.estimators.repeats import average_repeats


def row(value, interval=None, computing=None, stderr=None, **more):
    return Estimate("q", "e", "estimate", value, stderr, 5, interval=interval, computing_interval=computing, **more)


def average(*rows, seed=0):
    (found,) = average_repeats([[each] for each in rows], seed)
    return found


def test_one_repeat_of_seed_zero_is_itself():
    only = row(1.0, settings={"num_samples": 2})
    assert average(only) is only
    assert average(only, seed=7).settings == {"num_samples": 2, "seed": 7}


def test_mean_has_student_interval():
    values = (1.0, 2.5, 4.0, 2.0)
    found = average(*(row(value, train_reference=2 * value) for value in values), seed=3)
    expected = stats.t.interval(0.95, 3, stats.tmean(values), stats.sem(values))
    assert found.value == stats.tmean(values)
    assert found.train_reference == 2 * stats.tmean(values)
    assert found.computing_interval == pytest.approx(expected)
    assert found.interval is None
    assert found.stderr is None
    assert found.settings == {"seed": 3, "repeats": 4}
    assert found.diagnostics == {"std_over_repeats": pytest.approx(stats.tstd(values))}


def test_larger_stated_error_falls_with_root():
    rows = [row(value, computing=(value - 9, value + 3)) for value in (0.0, 0.01, -0.01, 0.0)]
    below, above = 3 / 2 + 6, 3 / 2  # six of nine are of one side alone, as a bias is
    assert average(*rows).computing_interval == pytest.approx((-below, above))


def test_an_infinite_margin_stays_infinite():
    rows = [row(value, computing=(-math.inf, value + 3)) for value in (0.0, 0.0, 0.0, 0.0)]
    assert average(*rows).computing_interval == (-math.inf, 1.5)
    rows = [row(value, (-math.inf, math.inf), (-math.inf, math.inf)) for value in (0.0, 0.0)]
    assert average(*rows).computing_interval == average(*rows).interval == (-math.inf, math.inf)


def test_exact_numbers_stay_exact():
    found = average(*(row(0.1, interval=(0.0, 0.3)) for _ in range(3)))
    assert found.computing_interval is None
    assert found.interval == pytest.approx((0.0, 0.3))
    assert found.diagnostics["std_over_repeats"] == 0


def test_interval_has_examples_and_computing():
    stated = {"interval": (-5.0, 5.0), "computing": (-3.0, 3.0), "stderr": 2.0}
    values = torch.tensor([0.1, -0.1, 0.0, 0.0, 0.0])  # with less scatter than is left
    found = average(*(row(0.0, **stated, values=values) for _ in range(9)))
    half = math.hypot(4, 1)  # 5^2 - 3^2, and 3 / sqrt(9)
    assert found.interval == pytest.approx((-half, half))
    assert found.stderr == pytest.approx(2 * half / 5)
    unknown = average(*(row(0.0, **stated) for _ in range(9)))
    assert unknown.interval == pytest.approx((-math.hypot(5, 1), math.hypot(5, 1)))


def test_interval_has_example_scatter():
    values = torch.tensor([-8.0, 8.0, 4.0, -4.0, 0.0])
    found = average(*(row(0.0, (-5.0, 5.0), (-3.0, 3.0), values=values) for _ in range(9)))
    _, high = stats.t.interval(0.95, 4, 0, stats.sem(values))
    assert found.interval == pytest.approx((-math.hypot(high, 1), math.hypot(high, 1)))


def test_values_and_diagnostics_are_means():
    rows = [
        row(1.0, values=torch.tensor([0.0, 2.0]), diagnostics={"ess": 3.0, "k": None}),
        row(3.0, values=torch.tensor([2.0, 4.0]), diagnostics={"ess": 5.0, "k": 1.0}),
    ]
    found = average(*rows)
    assert found.values.tolist() == [1.0, 3.0]
    assert found.diagnostics == {"ess": 4.0, "k": None, "std_over_repeats": pytest.approx(math.sqrt(2))}


def test_warnings_join_without_repetition():
    found = average(row(0.0, warning="a\nb"), row(0.0), row(0.0, warning="b\nc"))
    assert found.warning == "a\nb\nc"
    assert average(row(0.0), row(0.0)).warning is None


def test_rows_differing_by_seed_are_refused():
    with pytest.raises(ValueError, match="set repeats=1"):
        average_repeats([[row(0.0)], []], 0)


@pytest.mark.parametrize("repeats", [2, 4])
@pytest.mark.parametrize(("common", "independent"), [(0.3, 0.0), (0.0, 1.0)])
def test_intervals_hold_the_truth(common, independent, repeats):
    """Examples have N(0, 1) around 0; computing adds errors to all of them alike, or to each by itself."""
    torch.manual_seed(1)
    held = []
    for _ in range(800):
        exact = torch.randn(20, dtype=torch.float64)
        errors = ComputingErrors(Margin.student(common), Margin.student(independent / 20**0.5))
        rows = [
            Estimate.over(
                exact + common * torch.randn(()) + independent * torch.randn(20), "q", "e", "estimate", errors
            )
            for _ in range(repeats)
        ]
        found = average(*rows)
        ends = torch.tensor([found.interval, found.computing_interval], dtype=torch.float64)
        truth = torch.stack([torch.zeros(()), exact.mean()])
        held.append((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    population, computing = torch.stack(held).double().mean(0).tolist()
    assert 0.93 <= population <= 0.985
    assert 0.935 <= computing <= 0.995


def test_two_repeats_are_no_wider_than_one():
    """Wherever the spread agrees with the stated errors, as in 99% of repetitions; and in the mean over all of them."""
    torch.manual_seed(2)
    single, double, num_wider = 0.0, 0.0, 0
    for _ in range(1000):
        errors = ComputingErrors(common=Margin.student(0.3))
        exact = torch.randn(20)
        rows = [Estimate.over(exact + 0.3 * torch.randn(()), "q", "e", "estimate", errors) for _ in range(2)]
        of_one, of_two = (end - start for start, end in (rows[0].interval, average(*rows).interval))
        single, double, num_wider = single + of_one, double + of_two, num_wider + (of_two > of_one)
    assert double < single
    assert 0 < num_wider < 25


def test_a_mean_of_shares_ends_at_one():
    ends = {0.7: (0.65, 0.75), 0.999: (0.95, 1.0)}  # which contradict each other
    rows = [row(value, interval=each, computing=each, limits=(0.0, 1.0)) for value, each in ends.items()]
    assert average(*rows).interval == average(*rows).computing_interval == (0.0, 1.0)


def test_shares_of_two_repeats_keep_ends():
    """Draws of samples are in Wilson's interval, though no error of computing is stated."""
    generator, held, widths = torch.Generator().manual_seed(3), 0, []
    for _ in range(500):
        hits = (torch.rand(2, 200, generator=generator) < 0.9).double()
        rows = [replace(estimate_proportion(each, "precision", "e"), values=None) for each in hits]
        low, high = average(*rows).interval
        held += low <= 0.9 <= high
        widths.append((high - low) / (rows[0].interval[1] - rows[0].interval[0]))
    assert held >= 0.93 * 500
    assert torch.tensor(widths).median() < 1.1


def test_errors_of_one_are_dropped():
    diagnostics = {"log_z_low": 1.0, "log_z_high": 2.0, "monte_carlo_stderr": 0.1, "ais_ess": 9.0}
    found = average(*(row(value, diagnostics=diagnostics) for value in (0.0, 1.0)))
    assert found.diagnostics.keys() == {"ais_ess", "std_over_repeats"}


@pytest.mark.parametrize("rows", [1, 3])
def test_exact_numbers_have_no_seed(rows):
    exact = Estimate("bits_per_dim", "exact", "upper_bound", 1.0, 0.1, 5, settings={"num_samples": 2})
    (found,) = average_repeats([[exact]] * rows, seed=4)
    assert found is exact
