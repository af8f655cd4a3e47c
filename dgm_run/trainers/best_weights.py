"""Best weights by validation, in memory and on the disk."""

from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.errors import CheckpointError
from dgm_run.recording.base import CheckpointStore


class BestWeights:
    """Weights of the best validation so far, in memory until `save` writes them.

    Args:
        checkpoints: checkpoints of the run, where the weights have the name `best`.
    """

    def __init__(self, checkpoints: CheckpointStore):
        self.checkpoints = checkpoints
        self.weights: dict[str, Tensor] | None = None  # None: only the disk has them, from a former session
        self.is_new = False  # whether the disk lacks them

    def update(self, weights: dict[str, Tensor]) -> None:
        """Replaces the best weights."""
        self.weights = weights
        self.is_new = True

    def save(self, epoch: int) -> None:
        """Writes the weights, evaluated after `epoch` epochs, to the disk if they are new."""
        if self.is_new:
            assert self.weights is not None
            self.checkpoints.save("best", self.weights, {"epoch": epoch})
            self.is_new = False

    def load(self, epoch: int) -> dict[str, Tensor]:
        """Returns the weights evaluated after `epoch` epochs, in all processes.

        Raises:
            CheckpointError: the disk no longer has them.
        """
        if self.weights is None:
            self.weights = process_group.broadcast_from_main(lambda: self._read(epoch))
        return self.weights

    def _read(self, epoch: int) -> dict[str, Tensor]:
        weights, record, damaged = self.checkpoints.load("best")
        if damaged or record["epoch"] != epoch:
            reason = "; ".join(damaged) or f"it is of epoch {record['epoch']}"
            raise CheckpointError(
                f"the best checkpoint, of epoch {epoch}, is lost: {reason}: start a new run without trainer.resume"
            )
        return weights
