import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run import rng
from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.energy_likelihood import EnergyLikelihood
from dgm_run.models.energy.rbm import RBM
from dgm_run.recording.estimate_id import values_key
from dgm_run.report.cells import make_columns
from dgm_run.report.estimator_seeds import _measure_scatter, compare_seeds, pool_seeds
from dgm_run.report.groups import group_runs
from dgm_run.report.markdown import render_document
from dgm_run.report.overview import make_overviews
from dgm_run.report.page import render_page
from dgm_run.report.runs import Run, collect_runs
from dgm_run.report.tables import make_tables
from dgm_run.runner import results
from tests.support import folders

BASE = np.array([-5.0, -3.0, -4.0, -8.0])


def evaluate(folder, prior, shifts, half=0.1, **more):
    """A run whose log-likelihood has another error of log Z under each seed of the estimator; seed 0 is left out."""
    rows, values = [], {}
    for seed, shift in shifts.items():
        settings = {"num_chains": 7} | ({"seed": seed} if seed else {})
        value = float(BASE.mean()) + shift
        whole = math.hypot(half, stats.t(3).ppf(0.975) * BASE.std(ddof=1) / 2)
        rows.append(folders.estimate(value, settings=settings, interval=[value - whole, value + whole],
                                     computing_interval=[value - half, value + half], **more))  # fmt: skip
        values[values_key(rows[-1])] = BASE + shift
    path = folders.write(folder / prior, folders.config(prior), rows)
    np.savez(path / "values.npz", **values)
    return path


def ends(row, name):
    return [abs(end - row["value"]) for end in row[name]]


def pool_run(folder):
    (run,) = map(pool_seeds, collect_runs(folder))
    (row,) = run.results["estimates"]
    return run, row


def test_by_itself_each_seed_has_its_table(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.2, 2: 0.1})
    assert len(list(make_tables(group_runs(collect_runs(tmp_path))))) == 3


def test_pooled_number_is_the_mean(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.2, 5: 0.4}, half=0.001, stderr=0.5)
    run, row = pool_run(tmp_path)
    assert row["value"] == pytest.approx(-4.8)
    assert row["settings"] == {"num_chains": 7}
    assert run.values[values_key(row)] == pytest.approx(BASE + 0.2)
    assert row["seconds"] == 3.0
    spread = stats.t(2).ppf(0.975) * 0.2 / math.sqrt(3)
    examples = stats.t(3).ppf(0.975) * BASE.std(ddof=1) / 2  # not less of them than one evaluation has
    assert ends(row, "computing_interval") == pytest.approx([spread] * 2)
    assert ends(row, "interval") == pytest.approx([math.hypot(examples, spread)] * 2)
    assert row["stderr"] == pytest.approx(0.5 * math.hypot(examples, spread) / math.hypot(examples, 0.001))


def test_pooled_error_is_at_least_stated(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.001, 2: 0.0}, half=0.3)
    _, row = pool_run(tmp_path)
    assert ends(row, "computing_interval") == pytest.approx([0.3 / math.sqrt(3)] * 2)


def test_scatter_is_of_averaged_values():
    margin = _measure_scatter([BASE + 1, BASE - 3])
    half = stats.sem(BASE) * stats.t(3).ppf(0.975)
    assert (margin.below, margin.above) == pytest.approx((half, half))
    assert _measure_scatter([BASE, BASE[:3]]) is None
    assert _measure_scatter([None]) is None


def test_stated_error_stays_without_examples(tmp_path):
    path = evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.001}, half=0.3, stderr=0.5)
    (path / "values.npz").unlink()
    _, row = pool_run(tmp_path)
    whole = math.hypot(stats.t(3).ppf(0.975) * BASE.std(ddof=1) / 2, 0.3)
    assert ends(row, "interval") == pytest.approx([math.hypot(whole, 0.3 / math.sqrt(2))] * 2)
    assert row["stderr"] == pytest.approx(0.5 * math.hypot(whole, 0.3 / math.sqrt(2)) / whole)


def test_pooled_shares_stay_shares(tmp_path):
    rows = [
        folders.estimate(
            value, quantity="recall", settings={"seed": seed, "a": 1}, interval=[0.8, 1.0], limits=[0.0, 1.0]
        )
        for seed, value in enumerate((0.88, 0.97))
    ]
    folders.write(tmp_path, folders.config(), rows)
    assert pool_run(tmp_path)[1]["interval"][1] == 1.0


def test_exact_numbers_stay_exact(tmp_path):
    rows = [folders.estimate(-3.0, stderr=None, settings={"seed": seed, "a": 1}) for seed in (1, 2)]
    folders.write(tmp_path, folders.config(), rows)
    _, row = pool_run(tmp_path)
    assert [row[name] for name in ("value", "stderr", "interval", "computing_interval")] == [-3.0, None, None, None]


def test_warnings_of_all_seeds_stay(tmp_path):
    rows = [
        folders.estimate(-3.0, settings={"seed": s, "a": 1}, warning=w) for s, w in enumerate(("x", None, "y", "x"))
    ]
    folders.write(tmp_path, folders.config(), rows)
    assert pool_run(tmp_path)[1]["warning"] == "x\ny"


def test_the_same_draws_are_pooled_once(tmp_path):
    values = {0: -3.0, 2: -9.0, 3: -5.0}  # of seeds 0 to 2, 2 to 4, and 3 to 5
    rows = [folders.estimate(value, settings={"seed": seed, "repeats": 3}) for seed, value in values.items()]
    folders.write(tmp_path, folders.config(), rows)
    _, row = pool_run(tmp_path)
    assert (row["value"], row["num_estimator_seeds"]) == (-4.0, 6)


def test_pooled_and_single_share_a_table(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.2})
    evaluate(tmp_path, "VampPrior", {3: 1.0})
    ((_, (best, other)),) = make_tables(group_runs(list(map(pool_seeds, collect_runs(tmp_path)))))
    assert (best.note, other.note) == ("", "mean of 2 estimator seeds")
    assert other.difference.mean == pytest.approx(-0.9)


def test_rows_state_numbers_of_seeds(tmp_path):
    evaluate(tmp_path / "a", "StandardPrior", {0: 0.0, 1: 0.2})
    folders.write(tmp_path / "b", folders.config(seed=1), [folders.estimate(-4.5, settings={"num_chains": 7})])
    ((_, (row,)),) = make_tables(group_runs(list(map(pool_seeds, collect_runs(tmp_path)))))
    assert row.note == "mean of 1 or 2 estimator seeds"


def test_other_settings_are_not_pooled(tmp_path):
    rows = [folders.estimate(-3.0, settings={"seed": 1, "repeats": repeats}) for repeats in (1, 5)]
    folders.write(tmp_path, folders.config(), rows)
    (run,) = map(pool_seeds, collect_runs(tmp_path))
    assert [row["settings"] for row in run.results["estimates"]] == [{"repeats": 1}, {"repeats": 5}]


def test_compared_seeds_have_differences(tmp_path):
    evaluate(tmp_path, "StandardPrior", {1: 0.07, 0: 0.0})
    evaluate(tmp_path, "VampPrior", {0: 1.0})
    ((way, (first, other)),) = compare_seeds(group_runs(collect_runs(tmp_path)))
    assert way.title == "log_likelihood by seed of the estimator"
    assert way.describe().endswith("evaluations of the run StandardPrior under several seeds of the estimator")
    assert [row.group.settings for row in (first, other)] == [{"estimator seed": 0}, {"estimator seed": 1}]
    half = math.hypot(0.1, 0.1)  # of two errors of log Z, and no scatter over the examples
    assert other.difference[:3] == pytest.approx((0.07, 0.07 - half, 0.07 + half))
    assert (other.difference.over, other.compared) == ("computing", "evaluation")


def test_compared_seeds_share_their_examples(tmp_path):
    """Removes the values of single examples: two evaluations then differ by their errors of computing alone."""
    path = evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.07})
    (path / "values.npz").unlink()
    ((_, (_, other)),) = compare_seeds(group_runs(collect_runs(tmp_path)))
    half = math.hypot(0.1, 0.1)
    assert other.difference == (*map(pytest.approx, (0.07, 0.07 - half, 0.07 + half)), "computing")


def test_exact_numbers_are_not_compared(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.0})
    assert list(compare_seeds(group_runs(collect_runs(tmp_path)))) == []


def test_a_report_says_what_it_compares(tmp_path):
    evaluate(tmp_path, "StandardPrior", {0: 0.0, 1: 0.07})
    found = group_runs(collect_runs(tmp_path))
    added = list(compare_seeds(found))
    shown = [*make_tables(found), *added]
    text = render_document(found, shown, [])
    assert (
        "| estimator seed | value | 95% interval | difference to the first evaluation (95% for all pairs) | runs |"
        in text
    )
    assert "| 1 | -4.930 ± 0.100 | -8.369 to -1.491 | 0.070 (-0.071 to 0.211, computing) | StandardPrior |" in text
    assert ">log_likelihood by seed of the estimator</h3>" in render_page("x", found, shown, [])
    assert list(make_overviews(added)) == []  # seeds of an estimator are no configurations
    assert "estimator seed" in make_columns(added[0][1])


NUM_PAIRS = 50


def evaluate_rbm(model, data, seed):
    """The row of its log-likelihood, by too few temperatures for an error of log Z that is none, and its values."""
    rng.reseed(seed, "estimate energy")
    partition = AIS(num_chains=100, num_temperatures=50, schedule="linear")
    found = EnergyLikelihood(partition, None, num_samples=1, max_batch_rows=1000)(model, data)
    estimate = next(each for each in found if each.quantity == "log_likelihood")
    row = results.make_row(estimate, "test", 1.0)
    return row | {"settings": row["settings"] | {"seed": seed}}, estimate.values.float().numpy()


@pytest.mark.slow
def test_evaluations_differ_within_errors():
    torch.manual_seed(3)
    model = RBM((12,), 20, 1.0, "zero").eval()
    data = DataSplit(torch.randint(2, (200, 12)), None, lambda values: values.float())
    num_held = 0
    for pair in range(NUM_PAIRS):
        rows, values = zip(*(evaluate_rbm(model, data, seed) for seed in (2 * pair, 2 * pair + 1)), strict=True)
        run = Run(Path("run"), "finished", "", {"model._target_": "RBM"}, {"estimates": list(rows)},
                  dict(zip(map(values_key, rows), values, strict=True)))  # fmt: skip
        ((_, (_, other)),) = compare_seeds(group_runs([run]))
        assert other.difference.mean != 0
        num_held += other.difference.low <= 0 <= other.difference.high
    assert num_held >= 46
