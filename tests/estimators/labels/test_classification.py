import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.labels.classification import (
    Classification,
    LatentClassification,
    _estimate_selective_error,
)
from tests.models.labelled.test_m2 import images, log_joint, model


@pytest.fixture(scope="module")
def digits():
    return instantiate(dgm_run.compose("dataset.binarize=none", "dataset.num_labels=100").dataset).load()


def test_classifiers_use_labelled_examples(digits):
    m = instantiate(dgm_run.compose("model=m2", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[4]").model)
    found = Classification(2, 1000).fit(m, digits.train, digits.valid)(m, digits.test)
    errors = {each.quantity: each for each in found}
    seen = digits.train.labelled
    x, y = digits.train.batch(seen).flatten(1).double().numpy(), digits.train.y[seen].numpy()
    assert len(y) == 100
    x_test, y_test = digits.test.batch(slice(None)).flatten(1).double().numpy(), digits.test.y.numpy()
    for name, peer in (("error_logistic_regression", LogisticRegression(max_iter=1000)), ("error_svm", SVC())):
        expected = 100 * (1 - peer.fit(x, y).score(x_test, y_test))
        assert errors[name].value == pytest.approx(expected, abs=0.3)  # the order of the examples is another
    assert 5 < errors["error_nearest_neighbour"].value < 30
    assert errors["error"].unit == "%"
    assert errors["error"].num_examples == 360


def test_error_rates_have_wilson_intervals(digits):
    m = instantiate(dgm_run.compose("model=m2", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[4]").model)
    rows = Classification(2, 1000).fit(m, digits.train, digits.valid)(m, digits.test)
    for row in rows:
        assert row.interval[0] <= row.value <= row.interval[1], row.quantity
        assert row.stderr > 0
    (row,) = (row for row in rows if row.quantity == "error_svm")
    wrong = round(3.6 * row.value)
    expected = binomtest(wrong, 360).proportion_ci(method="wilson")
    assert row.interval == pytest.approx((100 * expected.low, 100 * expected.high))


def test_no_mistake_has_a_positive_error():
    score = torch.rand(360, generator=torch.Generator().manual_seed(0))
    for row in _estimate_selective_error(score, torch.zeros(360), "q(y|x)"):
        assert (row.value, row.interval[0]) == (0, 0)
        assert row.interval[1] == pytest.approx(100 * 3.84 / 364, rel=0.01)


@pytest.mark.usefixtures("double")
@torch.no_grad()
def test_errors_match_both_label_posteriors():
    m = model()
    x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 2, 2)
    exact = log_joint(m, x)
    y = exact.argmax(1)
    torch.manual_seed(0)
    seen, asked = DataSplit(x, torch.arange(16) % 3, to_float), DataSplit(x, y, to_float)
    rows = Classification(2000, 100).fit(m, seen, seen)(m, asked)
    told = {each.quantity: each.value for each in rows} | {(e.quantity, e.estimator): e.value for e in rows}
    assert told["error_joint"] <= 100 / 16  # but for a near tie
    wrong = (m.classify(x).argmax(1) != y).double()
    assert told["error"] == pytest.approx(100 * wrong.mean().item())
    by_density = wrong[exact.logsumexp(1).argsort(descending=True)]
    expected = 100 * (by_density.cumsum(0) / torch.arange(1, 17)).mean().item()
    assert told["error_over_coverages", "p(x)"] == pytest.approx(expected, abs=3)  # but for near ties
    sure = m.classify(x).max(1).values.argsort(descending=True)
    assert told["error_at_90_percent", "q(y|x)"] == pytest.approx(100 * wrong[sure][:15].mean().item())
    assert 0 < told["calibration_error"] < 1


def test_latent_classifiers_use_means(digits):
    m = instantiate(dgm_run.compose("model=m1", "model.latent_dim=5", "encoder.hidden_dims=[]").model)
    found = LatentClassification().fit(m, digits.train, digits.valid)(m, digits.test)
    errors = {each.quantity: each.value for each in found}
    seen = digits.train.labelled
    with torch.no_grad():
        z, z_test = (
            m.infer(x).mean.double().numpy() for x in (digits.train.batch(seen), digits.test.batch(slice(None)))
        )
    peer = SVC().fit(z, digits.train.y[seen].numpy())
    assert errors["error_svm_of_z"] == pytest.approx(100 * (1 - peer.score(z_test, digits.test.y.numpy())), abs=0.3)
    assert errors["error_svm"] < errors["error_svm_of_z"]  # five numbers of an untrained encoder


def test_what_cannot_be_asked_is_refused():
    protocol = type("", (), {"num_classes": None})
    data = DataSplit(images(), None, to_float)
    with pytest.raises(ConfigError, match="the data have no labels"):
        LatentClassification().check(None, LoadedDataset(protocol, data, data, data))
    protocol.num_classes = 3
    data.y = torch.ones(len(data), dtype=torch.long)
    for estimator in (LatentClassification(), Classification(1, 1000)):
        with pytest.raises(ConfigError, match="all training labels are the same: choose a dataset with"):
            estimator.check(None, LoadedDataset(protocol, data, data, data))
    data.y[0] = 2
    LatentClassification().check(None, LoadedDataset(protocol, data, data, data))
    with pytest.raises(ValueError, match="must be positive"):
        Classification(0, 1000)
