"""Bound of a model of labelled and unlabelled examples.

Source: D. P. Kingma et al., Semi-supervised learning with deep generative models, 2014,
https://arxiv.org/abs/1406.5298.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.config.bounds import NOT_NEGATIVE
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.models.labelled.base import LabelledModel
from dgm_run.objectives.base import Objective, Progress


@dataclass(frozen=True)
class SemiSupervised(Objective[LabelledModel]):
    """Loss -E_data U(x) - r E_labelled L(x, y) - alpha E_labelled log q(y | x), r the share of labelled examples.

    L(x, y) bounds log p(x, y), and U(x) = sum_y q(y | x) L(x, y) + H[q(y | x)] bounds log p(x). Labels are summed out,
    not drawn. The last term trains q(y | x) on labels; the bounds alone would not make y agree with them.

    Args:
        alpha: weight of the classifier, for each training example.
        labelled_batch_size: labelled examples of a step, in addition to `trainer.batch_size` unlabelled ones.

    Raises:
        ValueError: a number is negative, or there is no labelled example.
    """

    alpha: Annotated[float, NOT_NEGATIVE]
    labelled_batch_size: int

    requires = {"model": LabelledModel}
    monitor = "elbo"

    def __post_init__(self):
        if self.alpha < 0 or self.labelled_batch_size < 1:
            raise ValueError(
                f"alpha = {self.alpha} must not be negative, and labelled_batch_size = {self.labelled_batch_size} "
                "must be positive"
            )

    def step(
        self, model: LabelledModel, train: DataSplit, index: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes a training step on the batch and on randomly drawn labelled examples."""
        if train.y is None:
            raise ConfigError("objective: SemiSupervised needs labels, and the data have none: choose another dataset")
        labelled = train.labelled
        chosen = labelled[torch.randint(len(labelled), (self.labelled_batch_size,)).to(labelled.device)]
        loss, terms = self(model, train.batch(index), progress)

        observation = model.observe(train.batch(chosen))
        y = train.y[chosen]
        bound = model.log_joint_weights(observation, F.one_hot(y, model.num_classes).to(observation.dtype)).mean()
        log_q = model.classify(observation)
        log_q_label = log_q.gather(1, y.unsqueeze(1)).mean()
        share = len(labelled) / len(train)
        terms |= {"labelled_elbo": bound.detach(), "log_q_label": log_q_label.detach()}
        return loss - share * bound - self.alpha * log_q_label, terms

    def __call__(
        self, model: LabelledModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        observation = model.observe(x)
        log_q = model.classify(observation)  # (B, C)
        q = log_q.exp()
        bound = (q * model.log_joint_weights_per_class(observation).T).sum(1)
        entropy = -(q * log_q).sum(1)
        elbo = (bound + entropy).mean()
        return -elbo, {"elbo": elbo, "label_entropy": entropy.mean()}

    @torch.no_grad()
    def evaluate(
        self, model: LabelledModel, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        """Adds the error rate of q(y | x), which chooses no checkpoint: real tasks lack so many labels."""
        means = super().evaluate(model, data, batch_size, report)

        def predict(x: Tensor) -> dict[str, Tensor]:
            return {"predicted": model.classify(model.observe(x)).argmax(1)}

        rows = data.valid.map_batches(batch_size, predict, report)
        labelled = data.valid.labelled
        if not len(labelled):
            return means
        assert data.valid.y is not None
        is_wrong = (rows["predicted"] != data.valid.y)[labelled]
        return means | {"error": is_wrong.double().mean().item()}
