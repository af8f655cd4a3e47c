"""One step of the optimizer by several processes, each of which takes its parts of the batch.

Source: S. Li et al., PyTorch distributed: experiences on accelerating data parallel training, 2020,
https://arxiv.org/abs/2006.15704.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dgm_run import rng
from dgm_run.distributed import process_group

Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class _Called(nn.Module):
    """What the engine wraps: it holds the parameters, and calls what it is given."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, loss_of: Loss, *arguments: object) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = loss_of(*arguments)
        return loss, {name: term.detach() for name, term in terms.items()}


class Statistics:
    """What batch normalisation keeps of a step: the mean over its parts of what each makes of what was there before.

    Args:
        norms: the layers; those that keep nothing have no part in it.
    """

    def __init__(self, norms: Sequence[nn.modules.batchnorm._BatchNorm]):
        means_and_variances = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self.values = [value for value in means_and_variances if value is not None]
        self.counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]

    def begin(self) -> None:
        self.before = [value.clone() for value in (*self.values, *self.counts)]
        self.sums = [torch.zeros_like(value) for value in self.values]

    def begin_part(self) -> None:
        for value, before in zip((*self.values, *self.counts), self.before, strict=True):
            value.copy_(before)

    def end_part(self) -> None:
        for total, value in zip(self.sums, self.values, strict=True):
            total += value

    def end(self, num_parts: int) -> None:
        """All processes together, in one exchange."""
        if not self.values:
            return
        summed = process_group.all_reduce_sum(torch.cat([total.flatten() for total in self.sums])) / num_parts
        for value, mean in zip(self.values, summed.split([value.numel() for value in self.values]), strict=True):
            value.copy_(mean.view_as(value))


class DataParallel:
    """Gradients of the mean loss over a batch that is taken in parts, each with random numbers of its own.

    What comes out depends on the number of parts, and not on how many processes share them. An objective that looks
    at a batch as a whole (batch normalisation, chains) looks at each part as one.

    Args:
        model: whose gradients are wanted.
        num_parts: of every batch; a multiple of the number of processes.
        seed: of the random numbers.
        worker_timeout_seconds: without a word from one of the processes, after which the others give up.

    Attributes:
        mine: the numbers of the parts that this process takes.
    """

    def __init__(self, model: nn.Module, num_parts: int, seed: int, worker_timeout_seconds: float):
        self.num_parts, self.seed = num_parts, seed
        self.mine = range(process_group.rank(), num_parts, process_group.size())
        self.engine: nn.Module = _Called(model)
        if process_group.size() > 1:
            self.engine = _shared(self.engine, next(model.parameters()).device, worker_timeout_seconds)
        norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self.statistics = Statistics(norms if num_parts > 1 else [])

    def parts(self, index: Tensor) -> Iterator[tuple[int, Tensor, float]]:
        """The number of each part of this process, its positions, and its share of the whole."""
        if self.num_parts == 1:
            yield 0, index, 1.0
            return
        cut = index.tensor_split(self.num_parts)
        for number in self.mine:
            part = cut[number]
            # a batch that is smaller than the number of parts: all processes take part in its gradient
            yield number, part if len(part) else index[:1], len(part) / len(index)

    def backward(self, loss_of: Loss, index: Tensor, stream: str, step: int) -> dict[str, Tensor]:
        """Leaves the gradient of the mean loss over the examples at `index` in the parameters.

        Args:
            loss_of: (positions, number of the part) -> the mean loss over them and named terms.
            index: positions of the examples, (B,).
            stream: of random numbers.
            step: of the training.

        Returns:
            Loss and terms, as what this process adds to their means: the sum over the processes is the mean.
        """
        found: dict[str, Tensor] = {}
        self.statistics.begin()
        for number, part, share in self.parts(index):
            self.statistics.begin_part()
            rng.reseed(self.seed, stream, step * self.num_parts + number)
            engine, is_last = self.engine, number == self.mine[-1]
            with engine.no_sync() if isinstance(engine, DistributedDataParallel) and not is_last else nullcontext():
                loss, terms = engine(loss_of, part, number)
                weight = share * process_group.size()  # the engine takes the mean over the processes
                (loss if weight == 1 else loss * weight).backward()
            for name, value in {"loss": loss.detach(), **terms}.items():
                value = value if share == 1 else value * share
                found[name] = found[name] + value if name in found else value
            self.statistics.end_part()
        self.statistics.end(self.num_parts)
        return found


def _shared(module: nn.Module, device: torch.device, worker_timeout_seconds: float) -> DistributedDataParallel:
    on_gpu = device.type == "cuda"
    # twice as long: the word that is missed first is that of the processes, which can be told
    group = dist.new_group(backend="nccl", timeout=timedelta(seconds=2 * worker_timeout_seconds)) if on_gpu else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the name that takes its place is not in older versions
        return DistributedDataParallel(
            module,
            process_group=group,
            broadcast_buffers=False,
            find_unused_parameters=True,  # of two networks that learn in turns
        )
