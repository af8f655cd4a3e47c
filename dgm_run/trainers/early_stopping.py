"""Early stopping, and the weights of the best validation."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.recording.base import CheckpointStore
from dgm_run.trainers.base import StoppingRule
from dgm_run.trainers.best_weights import BestWeights
from dgm_run.trainers.loop_settings import LoopSettings
from dgm_run.trainers.median_stopping import is_decision_epoch


class EarlyStopping:
    """Keeps the best validation and its weights, and says when training no longer improves it.

    Args:
        settings: settings of the trainer: patience and median stopping.
        monitor: name of the validation quantity; larger is better.
        checkpoints: checkpoints of the run, which have the best weights as `best`.
        median_stopping: rule that compares the run with other jobs of its sweep.
        pruning: rule of a search, or None.

    Attributes:
        best: best value.
        best_epoch: epochs trained at the best value.
        num_waited: evaluations since the best value.
        is_below_median: whether median stopping ends this run.
        is_pruned: whether the search ends this run.
    """

    def __init__(
        self,
        settings: LoopSettings,
        monitor: str,
        checkpoints: CheckpointStore,
        median_stopping: StoppingRule,
        pruning: StoppingRule | None,
    ):
        self.settings = settings
        self.monitor = monitor
        self.median_stopping = median_stopping
        self.pruning = pruning
        self.weights = BestWeights(checkpoints)
        self.best = -math.inf
        self.best_epoch = 0
        self.num_waited = 0
        self.is_below_median = False
        self.is_pruned = False

    def update(self, value: float, epoch: int, is_counted: bool, copy_weights: Callable[[], dict[str, Tensor]]) -> None:
        """Takes the value of a validation.

        Args:
            value: validation value.
            epoch: number of epochs trained.
            is_counted: whether patience counts this evaluation.
            copy_weights: copies the evaluated weights.
        """
        if value > self.best:
            self.best = value
            self.best_epoch = epoch
            self.num_waited = 0
            self.weights.update(copy_weights())
        elif is_counted:
            self.num_waited += 1
        first = self.settings.median_stopping_after
        if first and is_decision_epoch(epoch, epoch - self.settings.eval_every, first):
            self.is_below_median = process_group.broadcast_from_main(
                lambda: self.median_stopping.should_stop(self.monitor, epoch, self.best)
            )
        pruning = self.pruning
        if pruning:
            self.is_pruned = process_group.broadcast_from_main(
                lambda: pruning.should_stop(self.monitor, epoch, self.best)
            )

    @property
    def reason(self) -> str | None:
        """Reason to stop, `patience`, `pruning` or `median_stopping`; None to go on."""
        if self.settings.patience and self.num_waited >= self.settings.patience:
            return "patience"
        if self.pruning and self.is_pruned:
            return "pruning"
        return "median_stopping" if self.settings.median_stopping_after and self.is_below_median else None

    def save_weights(self) -> None:
        """Writes the best weights to the disk if they are new."""
        self.weights.save(self.best_epoch)

    def load_weights(self) -> dict[str, Tensor]:
        """Returns the best weights.

        Raises:
            CheckpointError: the disk no longer has them.
        """
        return self.weights.load(self.best_epoch)

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_epoch", "num_waited", "is_below_median", "is_pruned")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
