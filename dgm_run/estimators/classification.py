"""How often a model of examples and labels is wrong about the label, beside machines that have seen the same labels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dgm_run.data.dataset import Examples, LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, Report, mean_and_stderr, silent
from dgm_run.models.base import log_mean_exp
from dgm_run.models.labelled import LabelledModel

MOST = 5000
"""Labelled examples that the other machines are fitted to, at most: a random part of more."""
ROWS = 1000


@dataclass(frozen=True)
class Classification(Estimator):
    """Error of argmax q(y | x), and of argmax p(x, y) with p(x, y) by importance sampling, in per cent.

    Beside them that of the nearest neighbour, of logistic regression and of a support vector machine, fitted to the
    labelled training examples.

    Args:
        num_samples: of z for each example and class, for p(x, y).
        max_rows: decoder rows at a time.
        baselines: errors of the other machines, once `fitted`: name to predictions of a batch.

    Raises:
        ValueError: a setting is not positive.
    """

    num_samples: int
    max_rows: int
    baselines: tuple | None = None

    requires = {"model": LabelledModel}

    def __post_init__(self):
        if min(self.num_samples, self.max_rows) < 1:
            raise ValueError("num_samples and max_rows must be positive")

    def check(self, model: LabelledModel, data: LoadedDataset) -> None:
        if data.test.y is None:
            raise ConfigError("estimators.classification: the data have no labels: choose other estimators")

    def fitted(
        self, model: LabelledModel, train: Examples, valid: Examples, report: Report = silent
    ) -> "Classification":
        from sklearn.linear_model import LogisticRegression  # costs a second
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.svm import SVC

        chosen = train.labelled[torch.randperm(len(train.labelled))[:MOST].to(train.labelled.device)]
        x, y = _flat(train.batch(chosen)), train.y[chosen].cpu().numpy()
        machines = (
            ("error_nearest_neighbour", KNeighborsClassifier(1)),
            ("error_logistic_regression", LogisticRegression(max_iter=1000)),
            ("error_svm", SVC()),
        )
        fits = []
        for done, (name, machine) in enumerate(machines, 1):
            fits.append((name, machine.fit(x, y)))
            report(done, len(machines))
        return replace(self, baselines=tuple(fits))

    @torch.no_grad()
    def __call__(self, model: LabelledModel, data: Examples, report: Report = silent) -> list[Estimate]:
        by_q, by_joint = [], []
        block = max(1, min(100, self.max_rows // model.num_classes))
        for x in data.batches(block):
            seen = model.observe(x)
            by_q.append(model.classify(seen).argmax(1))
            log_w = torch.stack([model.log_joint_weights_of_all(seen) for _ in range(self.num_samples)])  # (S, K, B)
            by_joint.append(log_mean_exp(log_w.double()).argmax(0))
            report(sum(map(len, by_q)), len(data))
        settings = {"num_samples": self.num_samples}
        found = [
            self._error("error", torch.cat(by_q), data.y, "q(y|x)", {}),
            self._error("error_joint", torch.cat(by_joint), data.y, "p(x,y)", settings),
        ]
        return found + [
            self._error(name, self._told(machine, data), data.y, "baseline", {}) for name, machine in self.baselines
        ]

    def _told(self, machine, data: Examples) -> Tensor:
        blocks = [torch.from_numpy(machine.predict(_flat(x))) for x in data.batches(ROWS)]
        return torch.cat(blocks).to(data.y.device)

    def _error(self, quantity: str, told: Tensor, y: Tensor, estimator: str, settings: dict) -> Estimate:
        wrong = 100 * (told != y).double().cpu()
        return Estimate(quantity, estimator, "estimate", *mean_and_stderr(wrong), len(y), unit="%", settings=settings)


def _flat(x: Tensor):
    return x.flatten(1).double().cpu().numpy()
