"""Learning-rate schedules that have an end."""

from collections.abc import Callable
from functools import partial

from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, PolynomialLR

from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.trainers.momentum import LinearWithMomentum


def refuse_outlived(schedule: Callable, num_epochs: int, key: str, trainer_key: str, is_resumed: bool) -> None:
    """Refuses to train beyond the end of a schedule, where the learning rate is zero or climbs again.

    Args:
        schedule: optimizer -> torch learning-rate schedule.
        num_epochs: to be trained.
        key: where the schedule stands in the configuration.
        trainer_key: where `max_epochs` stands.
        is_resumed: whether the schedule has begun, and cannot be changed any more.

    Raises:
        ConfigError: it ends before the last epoch.
        CheckpointError: the same of a resumed run.
    """
    name, what = _end_of(schedule)
    end = schedule.keywords.get(name) if name and isinstance(schedule, partial) else None
    if end is None or num_epochs <= end:
        return
    told = f"{key}.{name}={end}: the learning rate {what} after {end} epochs, and {num_epochs} are to be trained"
    if is_resumed:
        raise CheckpointError(f"trainer.resume: {told}: keep {trainer_key}.max_epochs={end}, or start a new run")
    raise ConfigError(f"{told}: set {trainer_key}.max_epochs={end}, or {key}.{name}={num_epochs}")


def _end_of(schedule: Callable) -> tuple[str | None, str]:
    """The setting that counts the epochs to the end of a schedule, if it has one, and what follows."""
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
