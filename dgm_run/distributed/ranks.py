"""Ranks from the environment of a launcher. This module imports nothing heavy, because the command line uses it."""

import os


def is_worker() -> bool:
    """Returns whether `launch_workers` or torchrun started this process as one of several."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def is_rank_zero() -> bool:
    """Returns whether this process is the first of several, or alone."""
    return not is_worker() or os.environ["RANK"] == "0"
