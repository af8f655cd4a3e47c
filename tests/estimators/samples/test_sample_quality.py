from dataclasses import replace

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.samples.sample_quality import SampleQuality, _interval_of_square
from dgm_run.models.base import LatentVariableModel

SETTINGS = {"num_samples": 350, "features": "classifier", "feature_seed": 0, "num_neighbours": 5,
            "num_permutations": 99, "means": False}  # fmt: skip


class Draws(nn.Module):
    """Draws from what it was given, without repetition where there is enough."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def sample(self, n):
        return self.x[torch.randperm(len(self.x))[:n] if n <= len(self.x) else torch.randint(len(self.x), (n,))]


@pytest.fixture(scope="module")
def digits():
    """The data, an estimator that has seen the first 900 training examples, and the other 357."""
    data = instantiate(dgm_run.compose("dataset.binarize=none", "dataset.dequantize=true").dataset).load()
    whole = data.train
    data.train = DataSplit(whole.x[:900], whole.y[:900], whole.prepare)
    return data, SampleQuality(**SETTINGS).fit(None, data.train, data.valid), whole.batch(slice(900, None))


def measure(digits, x):
    torch.manual_seed(0)
    data, estimator, _ = digits
    return {estimate.quantity: estimate for estimate in estimator(Draws(x), data.test)}


def test_unseen_data_reach_the_reference(digits):
    found = measure(digits, digits[2])
    assert all(estimate.num_examples == 350 for estimate in found.values())
    assert found["cfid"].value < 2 * found["cfid"].train_reference
    assert found["coverage"].value > 0.8
    assert found["coverage"].train_reference == pytest.approx(found["coverage"].diagnostics["expected"], abs=0.03)
    assert found["kid"].value < 0.1
    assert abs(found["c2st_linear"].value - 0.5) < 0.15
    assert found["mmd_p_value"].train_reference > 0.02
    assert found["cfid"].diagnostics["classifier_accuracy"] > 0.95
    assert not any(estimate.warning for estimate in found.values())
    assert found["nearest_train"].value == pytest.approx(found["nearest_train"].train_reference, rel=0.1)
    settings = {"num_samples": 350, "features": "classifier", "dim": 64, "k": 5, "feature_seed": 0}
    assert found["cfid"].settings == settings


def test_intervals_hold_their_numbers(digits):
    found = measure(digits, digits[2])
    without = {"cfid", "mmd_p_value"}
    for name, row in found.items():
        assert (row.interval is None) == (name in without), name
        if row.interval:
            assert row.interval[0] <= row.value <= row.interval[1], name
    p_value = found["mmd_p_value"]
    of_permutations = binomtest(round(100 * p_value.value), 100).proportion_ci(method="wilson")
    assert p_value.computing_interval == pytest.approx(tuple(of_permutations))
    c2st = found["c2st_linear"]
    assert c2st.interval == pytest.approx(tuple(binomtest(round(350 * c2st.value), 350).proportion_ci(method="wilson")))
    assert 0 < found["precision"].interval[0] < found["precision"].interval[1] <= 1
    kl = found["class_kl"]
    assert 0 <= kl.interval[0] < kl.value < kl.interval[1] < 10 * kl.value


def test_interval_of_square_uses_the_root():
    assert _interval_of_square(4.0, 2.0) == pytest.approx((1.5**2, 2.5**2))  # d sqrt(x) = dx / (2 sqrt(x))
    assert _interval_of_square(1.0, 4.0) == (0.0, 9.0)
    assert _interval_of_square(0.0, 4.0) == (0.0, 4.0)


def test_few_examples_have_no_interval(digits):
    data, estimator, unseen = digits
    few = replace(estimator, num_samples=100)
    rows = {row.quantity: row for row in few(Draws(unseen), data.test)}
    assert rows["precision"].interval is rows["precision"].stderr is None
    assert rows["kid"].interval is not None


def test_each_number_sees_what_it_is_for(digits):
    data, _, unseen = digits
    x, y = data.train.batch(slice(None)), data.train.y
    best = measure(digits, unseen)

    few = measure(digits, x[y < 5])  # half the classes
    assert few["recall"].value < best["recall"].value - 0.2
    assert few["precision"].value > 0.9
    assert few["class_kl"].value > 0.5
    assert few["class_kl"].warning == "collapse: there are next to no samples of class 5, 6, 7, 8, 9"
    assert few["class_kl"].diagnostics["class_7"] < 0.02

    copies = measure(digits, x)
    assert copies["nearest_train"].value < 0.6 * copies["nearest_train"].train_reference

    noise = measure(digits, torch.rand(500, 1, 8, 8))
    assert noise["cfid"].value > 10 * noise["cfid"].train_reference
    assert noise["c2st_linear"].value > 0.95
    assert noise["c2st_linear"].diagnostics["p_value"] < 1e-6
    assert noise["mmd_p_value"].value == 0.01
    assert noise["coverage"].value < 0.2

    one = measure(digits, x.mean(0, keepdim=True) + 1e-4 * torch.rand(100, 1, 8, 8))
    assert one["recall"].value < 0.02
    assert one["duplicates"].value == 1
    assert one["classifier_score"].value < 1.2
    assert "of the data lie among the samples" in one["recall"].warning


def test_pictures_show_nearest_neighbours(digits):
    estimator = digits[1]
    torch.manual_seed(1)
    pictures = estimator.pictures(Draws(estimator.reference.x))["nearest_neighbours"]
    assert pictures.shape == (64, 1, 8, 8)
    for row in range(0, 64, 16):
        assert torch.equal(pictures[row : row + 8], pictures[row + 8 : row + 16])


def test_means_replace_samples():
    cfg = dgm_run.compose("decoder.hidden_dims=[4]")
    model, data = instantiate(cfg.model), instantiate(cfg.dataset).load()
    seen = []
    settings = SETTINGS | {"features": "pixels", "num_samples": 30, "num_permutations": 9}
    for means in (False, True):
        estimator = SampleQuality(**(settings | {"means": means})).fit(model, data.train, data.valid)
        seen.append({e.quantity: e for e in estimator(model, data.test)})
        drawn = estimator._draw(model, 20)
        assert ((drawn == 0) | (drawn == 1)).all() == (not means)
    assert "cfid" not in seen[0]
    assert seen[0]["frechet_pixels"].value != seen[1]["frechet_pixels"].value
    assert "class_kl" not in seen[0]


def test_unsupported_cases_are_refused():
    x = DataSplit(torch.rand(50, 4), None, to_float)
    protocol = type("", (), {"name": "faces"})
    data = LoadedDataset(protocol, x, x, x)
    with pytest.raises(ConfigError, match=r"faces has no labels: set estimators.sample_quality.features=random"):
        SampleQuality(**SETTINGS).check(Draws(x.x), data)
    with pytest.raises(ConfigError, match=r"Draws has no p\(x \| z\): set estimators.sample_quality.means=false"):
        SampleQuality(**(SETTINGS | {"features": "pca", "means": True})).check(Draws(x.x), data)
    with pytest.raises(ConfigError, match="6 examples are too few for num_neighbours=5"):
        SampleQuality(**(SETTINGS | {"features": "pca", "num_samples": 6})).check(Draws(x.x), data)
    with pytest.raises(ValueError, match="must be positive"):
        SampleQuality(**(SETTINGS | {"num_samples": 0}))
    assert issubclass(type(instantiate(dgm_run.compose("model=gan").model)), LatentVariableModel)
