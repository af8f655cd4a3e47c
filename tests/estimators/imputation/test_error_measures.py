import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, log_loss

from dgm_run.estimators.imputation.error_measures import (
    SquaredError,
    choose_interval_rank,
    measure_binary,
    measure_interval,
)


def test_mse_error_matches_the_bootstrap():
    torch.manual_seed(0)
    guess, truth = torch.rand(300, 5, 4), torch.rand(300, 5, 4)
    asked = torch.rand(300, 5, 4) < torch.rand(300, 1, 1)
    found = SquaredError.measure(guess, truth, asked)
    squares = (guess - truth).square().numpy()
    mask = asked.numpy()
    assert found.mean == pytest.approx(squares[mask].mean(), rel=1e-5)
    generator = np.random.default_rng(0)
    chosen = generator.integers(300, size=(2000, 300))
    means = [squares[i][mask[i]].mean() for i in chosen]
    assert found.stderr == pytest.approx(np.std(means), rel=0.1)
    assert SquaredError.measure(guess[:1], truth[:1], asked[:1] | True).stderr is None


def test_binary_scores_match_sklearn():
    torch.manual_seed(0)
    p, truth = 0.01 + 0.98 * torch.rand(500), (torch.rand(500) < 0.3).float()
    found = measure_binary(p, truth)
    assert found["nll"] == pytest.approx(log_loss(truth, p.double()), rel=1e-3)
    assert found["f1"] == pytest.approx(f1_score(truth, p > 0.5))
    assert measure_binary(torch.zeros(2), torch.zeros(2)) == {"nll": pytest.approx(0.001, rel=0.01), "f1": 0.0}


@pytest.mark.parametrize(("num_draws", "low", "nominal"), [(19, 1, 0.9), (99, 5, 0.9), (2, 1, 1 / 3)])
def test_intervals_have_nominal_coverage(num_draws, low, nominal):
    assert choose_interval_rank(num_draws, 0.9) == (low, pytest.approx(nominal))
    torch.manual_seed(0)
    found = measure_interval(torch.randn(num_draws, 40_000), torch.randn(40_000), low)
    assert found["coverage"] == pytest.approx(nominal, abs=0.01)
    assert found["width"] > 0
