"""Ranges of the numbers in a configuration, and the check that a value lies in its range.

The name of an argument decides its range: `eps` is positive and `num_samples` at least one, in every class. A class
whose argument differs states its range in the annotation, as in `alpha: Annotated[float, Range(infinite=True)]`. Every
other number is finite. A user's own classes are checked by their annotations alone.
"""

import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dgm_run.config.annotations import read_annotations
from dgm_run.errors import ConfigError

MAX_INT = 2**63 - 1
"""Largest integer that torch takes."""


@dataclass(frozen=True)
class Range:
    """Interval of a number, or of each element of a list.

    Args:
        low, high: ends of the interval.
        above: whether a number must lie above `low`; else `low` itself is admitted.
        below: whether a number must lie below `high`; else `high` itself is admitted.
        infinite: whether infinity is admitted if the ends admit it.
        length: number of elements of a list; None for any.
        filled: whether an empty list is refused.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    infinite: bool = False
    length: int | None = None
    filled: bool = False

    def admits(self, value: float) -> bool:
        """Returns whether the number lies in the interval; NaN never does."""
        if math.isinf(value) and not self.infinite:
            return False
        is_above_low = value > self.low if self.above else value >= self.low
        is_below_high = value < self.high if self.below else value <= self.high
        return is_above_low and is_below_high

    def admits_size(self, values: list) -> bool:
        """Returns whether a list has an admitted number of elements."""
        return (self.length is None or len(values) == self.length) and (bool(values) or not self.filled)

    def __str__(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"in {'(' if self.above else '['}{self.low:g}, {self.high:g}{')' if self.below else ']'}"
        if math.isfinite(self.low):
            return f"greater than {self.low:g}" if self.above else f"at least {self.low:g}"
        return "a number" if self.infinite else "a finite number"


FINITE = Range()
POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
COUNT = Range(1)
PROBABILITY = Range(0, 1)
OPEN_PROBABILITY = Range(0, 1, above=True, below=True)
DECAY = Range(0, 1, below=True)

RANGES: Mapping[str, Range] = {
    **dict.fromkeys(
        ("bound", "checkpoint_seconds", "clip", "clip_norm", "concentration", "eps", "fitted_scale",
         "worker_timeout_seconds", "generator_lr_ratio", "init_ratio", "lr", "lr_ratio", "max_hours", "max_norm",
         "max_scale", "min_gain", "min_shape", "radius", "scale", "target_gap", "target_stderr", "tolerance"),
        POSITIVE,
    ),
    **dict.fromkeys(
        ("beta", "burn_in", "context_channels", "context_dim", "fast_lr", "free_bits", "gradient_penalty",
         "init_scale", "low_epochs", "max_log2_states", "min_scale", "noise_dim", "num_blocks", "num_simulated",
         "num_steps", "num_trusted", "num_vectors", "r1", "sparsity_cost", "total_iters", "warmup_epochs",
         "skip_steps", "weight", "weight_decay"),
        NOT_NEGATIVE,
    ),  # the classes of num_steps, context_dim, noise_dim and num_vectors say what zero means
    **dict.fromkeys(
        ("base_channels", "batch_size", "channels", "devices", "dim", "eval_batch_size", "eval_every",
         "first_kernel_size", "median_stopping_after", "grow_every", "hidden_dims", "in_channels", "kernel_size",
         "kernel_sizes", "labelled_batch_size", "map_channels", "max_epochs", "max_num_temperatures", "max_order",
         "max_batch_rows", "max_steps", "max_words", "micro_batches", "out_channels", "overfit_examples", "patience",
         "image_every_epochs", "repeats", "size", "strides", "threads", "vocab_size"),
        COUNT,
    ),
    **dict.fromkeys(("dropout", "word_dropout"), PROBABILITY),
    **dict.fromkeys(("discount", "ema_decay", "probability", "sparsity_target", "target_acceptance"), OPEN_PROBABILITY),
    **dict.fromkeys(("fast_decay", "low_momentum", "mutation_rate"), DECAY),
    "betas": Range(0, 1, below=True, length=2),
    "centering_rate": Range(0, 1, above=True),
    "log_var_range": Range(length=2),
    "shape": Range(1, filled=True),
    "value_range": Range(length=2),
}  # fmt: skip
"""Ranges of this package's arguments, by the name of the argument."""

TORCH_RANGES: Mapping[str, Range] = {
    **dict.fromkeys(("gamma", "eps", "lr"), POSITIVE),
    **dict.fromkeys(
        ("cooldown", "dampening", "eta_min", "milestones", "min_lr", "patience", "threshold", "total_iters",
         "weight_decay"),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("alpha", "momentum"), DECAY),
    **dict.fromkeys(("factor", "end_factor"), PROBABILITY),
    "T_max": COUNT,
    "betas": Range(0, 1, below=True, length=2),
    "start_factor": Range(0, 1, above=True),
}  # fmt: skip
"""Ranges of arguments of torch's optimizers and schedules, by the name of the argument."""


def check_range(value: Any, target: Any, name: str, key: str) -> None:
    """Refuses numbers outside the range of an argument.

    Args:
        value: number, list or any other plain value.
        target: class or function that takes the value.
        name: name of the argument.
        key: key of the value, for the message.

    Raises:
        ConfigError: a number is out of range; the message names key, value and range.
    """
    allowed = _find_stated_range(target, name) or _find_range_by_name(target, name)
    or_null = ", or null" if _is_optional(target, name) else ""
    if isinstance(value, list) and not allowed.admits_size(value):
        expected = f"{allowed.length} numbers" if allowed.length else "a list of numbers"
        raise ConfigError(f"{key} = {value} must be {expected}, each {allowed}{or_null}")
    is_number_of_torch = _get_package(target) == "torch" and name in TORCH_RANGES
    if is_number_of_torch and isinstance(value, str):  # torch does not annotate all arguments
        raise ConfigError(f"{key} = {value} must be {allowed}")
    for number in _list_numbers(value):
        if not allowed.admits(number):
            each = ": each" if isinstance(value, list) else ""
            is_infinite = math.isinf(number) and math.isinf(allowed.high)
            finite = "finite and " if is_infinite and "finite" not in str(allowed) else ""
            raise ConfigError(f"{key} = {value}{each} must be {finite}{allowed}{or_null}")
        if isinstance(number, int) and abs(number) > MAX_INT:
            raise ConfigError(f"{key} = {value} is too large: integers have 64 bits")


def _list_numbers(value: Any) -> Iterator[float]:
    """Yields a number, or the numbers of a list; nothing for other values."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, int | float) and not isinstance(each, bool):
            yield each


def _find_range_by_name(target: Any, name: str) -> Range:
    package = _get_package(target)
    if package == "torch":
        return TORCH_RANGES.get(name, FINITE)
    if package != "dgm_run":
        return FINITE
    is_count = name.startswith("num_") or name.endswith(("_dim", "_channels"))
    return RANGES.get(name, COUNT if is_count else FINITE)


def _get_package(target: Any) -> str:
    return str(getattr(target, "__module__", "")).partition(".")[0]


def _find_stated_range(target: Any, name: str) -> Range | None:
    """Returns the range in the annotation of an argument; None where there is none."""
    for option in _list_annotations(target, name):
        for each in getattr(option, "__metadata__", ()):
            if isinstance(each, Range):
                return each
    return None


def _is_optional(target: Any, name: str) -> bool:
    return type(None) in _list_annotations(target, name)


def _list_annotations(target: Any, name: str) -> tuple[Any, ...]:
    """Returns the annotation of an argument, followed by the parts of a union."""
    hint = read_annotations(target, include_extras=True).get(name)
    if hint is None:
        return ()
    return (hint, *(typing.get_args(hint) if not hasattr(hint, "__metadata__") else ()))
