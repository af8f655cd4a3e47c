import pytest
import torch

from dgm_run.estimators.imputation.hidden_elements import HiddenElements


def test_error_is_over_targets_alone():
    truth = torch.tensor([[0.0, 2.0], [4.0, 6.0]])
    is_target = torch.tensor([[True, False], [True, True]])
    hidden = HiddenElements("random", truth, is_target, True)
    (row,) = hidden.estimate_errors("mean", torch.full((2, 2), 3.0), None, {}, {}, None)
    assert (row.quantity, row.value, row.unit) == ("mse_random", pytest.approx((9 + 1 + 9) / 3), "variances")


def test_draws_have_diagnostics():
    truth = torch.tensor([[0.5, 2.0], [4.0, 6.0]])
    hidden = HiddenElements("random", truth, torch.ones(2, 2, dtype=torch.bool), False)
    draws = truth + torch.linspace(-1, 1, 19).view(19, 1, 1)
    (row,) = hidden.estimate_errors("chain", draws.mean(0), draws, {}, {"ess_median": 2.0}, None)
    expected = {"mse_of_draws": (draws - truth).square().mean().item(), "coverage": 1.0, "width": 2.0, "nominal": 0.9}
    assert row.diagnostics == pytest.approx(expected | {"ess_median": 2.0})


def test_psnr_needs_all_elements():
    truth = torch.tensor([[0.0, 1.0]])
    whole = HiddenElements("noise", truth, torch.ones(1, 2, dtype=torch.bool), False)
    (row,) = whole.estimate_errors("as_seen", truth + 0.1, None, {}, {}, None)
    assert row.diagnostics["psnr"] == pytest.approx(20)
    half = whole._replace(is_target=torch.tensor([[True, False]]))
    assert "psnr" not in half.estimate_errors("as_seen", truth + 0.1, None, {}, {}, None)[0].diagnostics
