"""Machines that learn labels from a few examples, to hold others against."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST = 5000
"""Labelled examples that they are fitted to, at most."""


@dataclass(frozen=True)
class Machines:
    """The nearest neighbour, logistic regression and a support vector machine.

    Args:
        fits: each by its name.
    """

    fits: dict[str, Any]

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "Machines":
        """Fitted to examples, (N, ...), and their labels, (N,)."""
        from sklearn.linear_model import LogisticRegression  # costs a second
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC

        machines = {
            "nearest_neighbour": KNeighborsClassifier(1),
            "logistic_regression": LogisticRegression(max_iter=1000),
            "svm": SVC(),
        }
        return cls({name: machine.fit(_flat(x), y.cpu().numpy()) for name, machine in machines.items()})

    def wrong(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Whether each is wrong about each example: name to (N,)."""
        told = {name: torch.from_numpy(machine.predict(_flat(x))) for name, machine in self.fits.items()}
        return {name: (labels != y.cpu()).double() for name, labels in told.items()}


def _flat(x: Tensor) -> Any:
    return x.flatten(1).double().cpu().numpy()
