import pytest
import torch

from dgm_run.estimators.samples.precision_recall import (
    compute_radii,
    expected_coverage,
    find_nearest,
    measure_precision_recall,
)


def means(found):
    return {name: values.mean().item() for name, values in found._asdict().items()}


def test_values_match_loops_over_pairs():
    torch.manual_seed(0)
    data, samples, k = torch.randn(30, 3).double(), torch.randn(20, 3).double() * 0.8 + 0.3, 3

    def radius(x, i):
        return sorted((x[i] - x[j]).norm().item() for j in range(len(x)) if j != i)[k - 1]

    of_data, of_samples = ([radius(x, i) for i in range(len(x))] for x in (data, samples))
    d = [[(s - x).norm().item() for x in data] for s in samples]
    found = measure_precision_recall(data, samples, k)
    assert found.precision.tolist() == [float(any(d[i][j] <= of_data[j] for j in range(30))) for i in range(20)]
    assert found.recall.tolist() == [float(any(d[i][j] <= of_samples[i] for i in range(20))) for j in range(30)]
    assert found.density.tolist() == pytest.approx(
        [sum(d[i][j] <= of_data[j] for j in range(30)) / k for i in range(20)]
    )
    assert found.coverage.tolist() == [float(any(d[i][j] <= of_data[j] for i in range(20))) for j in range(30)]


def test_a_sample_and_itself():
    x = torch.randn(50, 4)
    found = means(measure_precision_recall(x, x, 5))
    assert found["precision"] == found["recall"] == found["coverage"] == 1


def test_same_distribution_is_as_expected():
    torch.manual_seed(0)
    found = [means(measure_precision_recall(torch.randn(400, 2), torch.randn(300, 2), 3)) for _ in range(30)]
    assert sum(each["density"] for each in found) / 30 == pytest.approx(1, abs=0.03)
    expected = expected_coverage(400, 300, 3)
    assert sum(each["coverage"] for each in found) / 30 == pytest.approx(expected, abs=0.015)


def test_one_picture_has_no_recall():
    torch.manual_seed(0)
    found = means(measure_precision_recall(torch.randn(500, 2), torch.zeros(500, 2) + 1e-6 * torch.randn(500, 2), 5))
    assert found["precision"] == 1
    assert found["recall"] == 0
    assert found["coverage"] < 0.1


def test_more_rows_than_fit_at_once(monkeypatch):
    torch.manual_seed(0)
    data, samples = torch.randn(57, 3), torch.randn(43, 3)
    whole = measure_precision_recall(data, samples, 2)
    near = find_nearest(samples, data)
    monkeypatch.setattr("dgm_run.estimators.samples.precision_recall.ROWS", 10)
    for a, b in zip(whole, measure_precision_recall(data, samples, 2), strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(near, find_nearest(samples, data), strict=True):
        torch.testing.assert_close(a, b)
    distances = (samples.unsqueeze(1) - data).norm(dim=-1)
    torch.testing.assert_close(near[0], distances.amin(1))
    assert torch.equal(near[1], distances.argmin(1))


def test_too_few_neighbours_are_refused():
    with pytest.raises(ValueError, match="3 examples have no 3 neighbours"):
        compute_radii(torch.randn(3, 2), 3)
