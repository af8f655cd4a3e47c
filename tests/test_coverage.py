import pytest
import torch

from dgm_run.estimators.base import Estimate
from tests.coverage import FIRST_SEED, Case, Truth, all_cases, exact, measure, samples


def mean_of_normals(stderr_factor: float) -> Case:
    def repeat() -> tuple[Estimate, Truth]:
        values = torch.randn(20, dtype=torch.float64)
        found = Estimate.over(values, "mean", "mine", "estimate")
        half = stderr_factor * (found.interval[1] - found.value)
        interval = (found.value - half, found.value + half)
        return Estimate("mean", "mine", "estimate", found.value, found.stderr, 20, interval=interval), Truth(0.0)

    return Case("normal", "mean", repeat)


def test_true_intervals_cover_and_narrow_ones_do_not():
    assert measure(mean_of_normals(1.0), 400).interval == pytest.approx(0.95, abs=0.03)
    assert measure(mean_of_normals(0.5), 400).interval < 0.8


def test_exact_and_sample_cases_evaluate():
    cases = {case.estimator: case for case in [*exact.CASES, *samples.CASES]}
    estimates = list(samples.compare_samples(FIRST_SEED).values())
    for case in cases.values():
        if not case.estimator.startswith("sample_quality"):  # their truth takes hundreds of evaluations
            torch.manual_seed(FIRST_SEED)
            estimates.append(case.repeat()[0])
    stated = [each for each in estimates if each.interval is not None]
    assert len(stated) > len(cases)
    assert all(each.interval[0] <= each.value <= each.interval[1] for each in stated)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_stated_intervals_hold_the_truth():
    shares, wrong = [], []
    for case in all_cases():
        for name, share in measure(case)._asdict().items():
            if share is not None:
                shares.append(share)
                if not 0.91 <= share <= 0.99:
                    wrong.append(f"{case.model}, {case.estimator}: {name} {share:.3f}")
    assert not wrong
    assert 0.93 <= sum(shares) / len(shares) <= 0.97
