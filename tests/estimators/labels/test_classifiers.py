import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from dgm_run.estimators.labels.classifiers import Classifiers


def test_classifiers_match_sklearn():
    torch.manual_seed(0)
    x, y = torch.randn(60, 2, 3), torch.arange(60) % 3
    x[:, 0, 0] += 2 * y
    found = Classifiers.fit(x[:40], y[:40]).find_mistakes(x[40:], y[40:])
    assert set(found) == {"nearest_neighbour", "logistic_regression", "svm"}
    peer = KNeighborsClassifier(1).fit(x[:40].flatten(1).numpy(), y[:40].numpy())
    assert 1 - found["nearest_neighbour"].mean().item() == pytest.approx(peer.score(x[40:].flatten(1), y[40:]))
    assert found["svm"].mean() < 0.5
