import numpy as np
import pytest
import torch

from dgm_run.data.standardize import Standardization

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(50, 3, dtype=torch.float64, generator=GENERATOR) * torch.tensor([1e-4, 1.0, 1e3]) + 1e4


def fit(x, mode="columns"):
    return Standardization.fit(lambda: x.split(7), mode)


@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_columns_have_mean_0_and_scale_1(shift):
    x = torch.randn(500, 3, dtype=torch.float64, generator=GENERATOR) + shift
    z = fit(x)(x).numpy()
    assert np.allclose(z.mean(0), 0, atol=1e-7)
    assert np.allclose(z.std(0), 1, atol=1e-7)


def test_global_keeps_ratios_of_columns():
    z = fit(X, "global")(X)
    assert np.allclose(z.numpy().mean(0), 0, atol=1e-9)
    assert np.isclose(z.numpy().std(), 1)
    assert torch.allclose(z.std(0) / z.std(0)[2], X.std(0) / X.std(0)[2])


@pytest.mark.parametrize("mode", ["columns", "global"])
def test_restoring_undoes_it(mode):
    standardization = fit(X, mode)
    assert torch.allclose(standardization.restore(standardization(X)), X, rtol=1e-12)


@pytest.mark.parametrize("mode", ["columns", "global"])
def test_log_det_is_that_of_the_jacobian(mode):
    standardization = fit(X, mode)
    jacobian = torch.autograd.functional.jacobian(lambda x: standardization(x.unsqueeze(0))[0], X[0])
    assert torch.allclose(standardization.log_det(), torch.linalg.slogdet(jacobian)[1])


def test_log_det_counts_observed_elements():
    standardization = fit(X)
    missing = torch.tensor([[False, True, False], [True, True, True]])
    expected = -standardization.scale[[0, 2]].log().sum()
    assert torch.allclose(standardization.log_det(missing), torch.stack([expected, torch.tensor(0.0).double()]))


def test_missing_values_are_left_out():
    x = X.clone()
    x[::2, 1] = torch.nan
    found = fit(x)
    assert torch.allclose(found.mean[1], X[1::2, 1].mean())
    assert torch.allclose(found.scale[1], X[1::2, 1].std(correction=0))


@pytest.mark.parametrize("value", [0.1, 1e8 / 3, torch.nan])
def test_a_constant_column_keeps_its_scale(value):
    x = X.clone()
    x[:, 0] = value
    assert fit(x).scale[0] == 1.0


def test_state_survives_json():
    import json

    standardization = fit(X)
    again = Standardization.from_state(json.loads(json.dumps(standardization.state())))
    assert torch.equal(again.mean, standardization.mean)
    assert torch.equal(again.scale, standardization.scale)
