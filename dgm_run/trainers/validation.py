"""Validation: evaluates an objective on the validation examples."""

from torch import nn

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.objectives.base import Objective, convert_to_data_units


def validate(
    model: nn.Module,
    objective: Objective,
    data: LoadedDataset,
    batch_size: int,
    seed: int,
    report: ProgressCallback = no_progress,
) -> dict[str, float]:
    """Evaluates the objective in evaluation mode, in the units of the data. Exceptions of `report` pass through.

    The noise is equal every time, so that two evaluations differ only by the weights.
    """
    was_training = model.training
    model.eval()
    rng.reseed(seed, "validation")
    try:
        return convert_to_data_units(objective.evaluate(model, data, batch_size, report), data.valid)
    finally:
        model.train(was_training)
