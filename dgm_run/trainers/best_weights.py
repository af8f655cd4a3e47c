"""The weights that validation chose."""

from torch import Tensor

from dgm_run.distributed import process_group
from dgm_run.errors import CheckpointError
from dgm_run.trainers.base import CheckpointStore


class BestWeights:
    """The weights at the best look at the validation data so far, and whether the disk has them.

    Args:
        checkpoints: of the run; the weights are kept there under the name `best`.
    """

    def __init__(self, checkpoints: CheckpointStore):
        self.checkpoints = checkpoints
        self.weights: dict[str, Tensor] | None = None  # None: those on the disk, from before this session
        self.is_new = False  # not yet on the disk

    def take(self, weights: dict[str, Tensor]) -> None:
        """These are the best."""
        self.weights, self.is_new = weights, True

    def save(self, epoch: int) -> None:
        """Brings them to the disk, if they are not there; they were seen after `epoch` epochs."""
        if self.is_new:
            assert self.weights is not None
            self.checkpoints.save("best", self.weights, {"epoch": epoch})
            self.is_new = False

    def found(self, epoch: int) -> dict[str, Tensor]:
        """The weights seen after `epoch` epochs, in all processes.

        Raises:
            CheckpointError: the disk does not have them any more.
        """
        if self.weights is None:
            self.weights = process_group.broadcast_from_main(lambda: self._kept(epoch))
        return self.weights

    def _kept(self, epoch: int) -> dict[str, Tensor]:
        weights, record, damaged = self.checkpoints.load("best")
        if damaged or record["epoch"] != epoch:
            found = "; ".join(damaged) or f"it is of epoch {record['epoch']}"
            raise CheckpointError(f"the best checkpoint, of epoch {epoch}, is lost: {found}")
        return weights
