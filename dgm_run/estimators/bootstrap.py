"""Standard errors by the bootstrap over examples.

Source: B. Efron, Bootstrap methods: another look at the jackknife, 1979, https://doi.org/10.1214/aos/1176344552.
"""

from collections.abc import Callable

import torch
from torch import Tensor

NUM_RESAMPLES = 200
"""Number of resamples, which gives a standard error to within a twentieth of itself."""


def bootstrap_stderr(statistic: Callable[[Tensor], float], num_examples: int) -> float | None:
    """Estimates the standard error of a statistic of N examples; None for a single example.

    A generator of its own draws the resamples, so that no other draw depends on them.

    Args:
        statistic: maps positions of examples, (N,), some of which occur several times, to the statistic.
        num_examples: N.
    """
    if num_examples < 2:
        return None
    generator = torch.Generator().manual_seed(0)
    positions = (torch.randint(num_examples, (num_examples,), generator=generator) for _ in range(NUM_RESAMPLES))
    return torch.tensor([statistic(index) for index in positions], dtype=torch.float64).std().item()
