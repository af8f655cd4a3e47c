"""Baseline classifiers: 1-NN, logistic regression and SVM fitted to the labelled examples."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MAX_EXAMPLES = 5000
"""Largest number of labelled examples that the classifiers are fitted to."""


@dataclass(frozen=True)
class Classifiers:
    """Fitted classifiers: nearest neighbour, logistic regression and a support vector machine.

    Args:
        by_name: the fitted classifiers.
    """

    by_name: dict[str, Any]

    @classmethod
    def fit(cls, x: Tensor, y: Tensor) -> "Classifiers":
        """Fits the classifiers to examples, (N, ...), and their labels, (N,)."""
        from sklearn.linear_model import LogisticRegression  # costs a second
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC

        classifiers = {
            "nearest_neighbour": KNeighborsClassifier(1),
            "logistic_regression": LogisticRegression(max_iter=1000),
            "svm": SVC(),
        }
        return cls({name: each.fit(_flatten(x), y.cpu().numpy()) for name, each in classifiers.items()})

    def find_mistakes(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Returns 1 for each example whose label a classifier predicts wrongly, else 0: name to (N,)."""
        predicted = {name: torch.from_numpy(each.predict(_flatten(x))) for name, each in self.by_name.items()}
        return {name: (labels != y.cpu()).double() for name, labels in predicted.items()}


def _flatten(x: Tensor) -> Any:
    return x.flatten(1).double().cpu().numpy()
