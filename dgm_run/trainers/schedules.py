"""Refuses to train beyond the end of a learning-rate schedule."""

from collections.abc import Callable
from functools import partial

from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, PolynomialLR

from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.trainers.momentum import LinearWithMomentum


def refuse_past_end(schedule: Callable, num_epochs: int, key: str, trainer_key: str, is_resumed: bool) -> None:
    """Refuses to train beyond the end of a schedule, where the learning rate is zero or rises again.

    Args:
        schedule: optimizer -> torch learning-rate schedule.
        num_epochs: number of epochs to train.
        key: key of the schedule in the configuration.
        trainer_key: key of the node with `max_epochs`.
        is_resumed: whether the schedule has started, and can no longer be changed.

    Raises:
        ConfigError: the schedule ends before the last epoch.
        CheckpointError: the schedule of a resumed run ends before the last epoch.
    """
    name, effect = _find_end(schedule)
    end = schedule.keywords.get(name) if name and isinstance(schedule, partial) else None
    if end is None or num_epochs <= end:
        return
    problem = f"{key}.{name}={end}: the learning rate {effect} after {end} epochs, and {num_epochs} are to be trained"
    if is_resumed:
        raise CheckpointError(f"trainer.resume: {problem}: keep {trainer_key}.max_epochs={end}, or start a new run")
    raise ConfigError(f"{problem}: set {trainer_key}.max_epochs={end}, or {key}.{name}={num_epochs}")


def _find_end(schedule: Callable) -> tuple[str | None, str]:
    """Returns the setting that counts the epochs of a schedule, or None, and the effect of its end on the rate."""
    if not isinstance(schedule, partial) or not isinstance(schedule.func, type):
        return None, ""
    kind = schedule.func
    if issubclass(kind, CosineAnnealingLR):
        return "T_max", "climbs again"
    if issubclass(kind, LinearWithMomentum | PolynomialLR):
        return "total_iters", "is zero"
    if issubclass(kind, LinearLR) and schedule.keywords.get("end_factor") == 0:
        return "total_iters", "is zero"
    return None, ""
