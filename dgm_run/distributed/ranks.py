"""Whether this process was started as one of several. Nothing heavy is imported: the command line asks."""

import os


def is_worker() -> bool:
    """By `launch.together` or by torchrun, which both tell each process who it is."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR"))


def is_rank_zero() -> bool:
    """Whether it is the first of them, or alone."""
    return not is_worker() or os.environ["RANK"] == "0"
