"""Sums over all states of a few units, computed in blocks."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def binary_states(num_bits: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Lists the binary vectors number start .. stop - 1, (stop - start, num_bits), in float64."""
    return digits(torch.arange(start, stop, device=device), 2, num_bits).double()


def digits(index: Tensor, base: int, num: int) -> Tensor:
    """Extracts the last `num` digits of whole numbers, lowest first: (N,) -> (N, num)."""
    return index.unsqueeze(1) // base ** torch.arange(num, device=index.device) % base


def log_sum_over_states(num_bits: int, log_weight: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """Computes log sum_s exp log_weight(s) over all s in {0, 1}^num_bits, in blocks; float64."""
    return log_sum(1 << num_bits, lambda index: log_weight(digits(index, 2, num_bits).double()), device)


def log_sum(num: int, log_weight: Callable[[Tensor], Tensor], device: torch.device) -> Tensor:
    """Computes log sum_i exp log_weight(i) over i = 0 .. num - 1, in blocks; float64."""
    total = torch.tensor(-math.inf, dtype=torch.float64, device=device)
    for index in torch.arange(num, device=device).split(1 << 13):
        total = torch.logaddexp(total, log_weight(index).logsumexp(0))
    return total
