"""Standard errors by the bootstrap over examples.

Source: B. Efron, Bootstrap methods: another look at the jackknife, 1979, https://doi.org/10.1214/aos/1176344552.
"""

from collections.abc import Callable

import torch
from torch import Tensor

NUM_RESAMPLES = 200
"""They give a standard error to within a twentieth of itself."""


def bootstrap_stderr(statistic: Callable[[Tensor], float], num_examples: int) -> float | None:
    """Standard error of a statistic of N examples; None of a single one.

    The resamples have random numbers of their own, so that no other draw depends on them.

    Args:
        statistic: of the examples at these positions, (N,), some of which occur several times.
        num_examples: N.
    """
    if num_examples < 2:
        return None
    generator = torch.Generator().manual_seed(0)
    found = [statistic(torch.randint(num_examples, (num_examples,), generator=generator)) for _ in range(NUM_RESAMPLES)]
    return torch.tensor(found, dtype=torch.float64).std().item()
