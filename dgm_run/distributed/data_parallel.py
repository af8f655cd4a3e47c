"""Data-parallel gradients: each process computes the gradient of its parts of a batch.

Source: S. Li et al., PyTorch distributed: experiences on accelerating data parallel training, 2020,
https://arxiv.org/abs/2006.15704.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dgm_run import rng
from dgm_run.distributed import process_group

Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]
"""Function that returns a mean loss and named terms."""


class _LossModule(nn.Module):
    """Module that holds the model's parameters, and whose forward pass calls a loss function."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, compute_loss: Loss, *arguments: object) -> tuple[Tensor, dict[str, Tensor]]:
        loss, terms = compute_loss(*arguments)
        return loss, {name: term.detach() for name, term in terms.items()}


class BatchNormStatistics:
    """Average of batch-norm running statistics over the parts of a step. Each part starts from the former statistics.

    Args:
        norms: layers; those without running statistics are ignored.
    """

    def __init__(self, norms: Sequence[nn.modules.batchnorm._BatchNorm]):
        means_and_variances = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self.values = [value for value in means_and_variances if value is not None]
        self.counts = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]

    def begin(self) -> None:
        """Starts a step: keeps the former statistics."""
        self.before = [value.clone() for value in (*self.values, *self.counts)]
        self.sums = [torch.zeros_like(value) for value in self.values]

    def begin_part(self) -> None:
        """Starts a part: restores the former statistics."""
        for value, before in zip((*self.values, *self.counts), self.before, strict=True):
            value.copy_(before)

    def end_part(self) -> None:
        """Ends a part: adds its statistics to the sums."""
        for total, value in zip(self.sums, self.values, strict=True):
            total += value

    def end(self, num_parts: int) -> None:
        """Ends a step: averages over all parts of all processes, in one exchange."""
        if not self.values:
            return
        means = process_group.all_reduce_sum(torch.cat([total.flatten() for total in self.sums])) / num_parts
        for value, mean in zip(self.values, means.split([value.numel() for value in self.values]), strict=True):
            value.copy_(mean.view_as(value))


class DataParallel:
    """Gradients of the mean loss over a batch in parts, each with random numbers of its own.

    The result depends on the number of parts, and not on the number of processes. An objective of a whole batch
    (batch normalisation, chains) treats each part as a batch.

    Args:
        model: model whose gradients are computed.
        num_parts: parts of every batch; a multiple of the number of processes.
        seed: seed of the random numbers.
        worker_timeout_seconds: seconds without a message from a process, after which the others stop.

    Attributes:
        own_parts: numbers of the parts that this process computes.
    """

    def __init__(self, model: nn.Module, num_parts: int, seed: int, worker_timeout_seconds: float):
        self.num_parts = num_parts
        self.seed = seed
        self.own_parts = range(process_group.rank(), num_parts, process_group.size())
        self.loss_module: nn.Module = _LossModule(model)
        if process_group.size() > 1:
            self.loss_module = _wrap_distributed(
                self.loss_module, next(model.parameters()).device, worker_timeout_seconds
            )
        norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        self.statistics = BatchNormStatistics(norms if num_parts > 1 else [])

    def iterate_parts(self, index: Tensor) -> Iterator[tuple[int, Tensor, float]]:
        """Yields number, positions and share of the batch for each part of this process."""
        if self.num_parts == 1:
            yield 0, index, 1.0
            return
        cut = index.tensor_split(self.num_parts)
        for number in self.own_parts:
            part = cut[number]
            # an empty part of a small batch still takes part in the exchange of gradients
            yield number, part if len(part) else index[:1], len(part) / len(index)

    def backward(self, compute_loss: Loss, index: Tensor, stream: str, step: int) -> dict[str, Tensor]:
        """Computes the gradient of the mean loss over the examples at `index`, into the parameters.

        Args:
            compute_loss: (positions, number of the part) -> mean loss over them and named terms.
            index: positions of the examples, (B,).
            stream: name of the stream of random numbers.
            step: step of the training.

        Returns:
            Contributions of this process to loss and terms: their sum over the processes is the mean.
        """
        contributions: dict[str, Tensor] = {}
        self.statistics.begin()
        for number, part, share in self.iterate_parts(index):
            self.statistics.begin_part()
            rng.reseed(self.seed, stream, step * self.num_parts + number)
            with self._without_exchange() if number != self.own_parts[-1] else nullcontext():
                loss, terms = self.loss_module(compute_loss, part, number)
                weight = share * process_group.size()  # the wrapped module averages over the processes
                (loss if weight == 1 else loss * weight).backward()
            for name, value in {"loss": loss.detach(), **terms}.items():
                # in float64, in which the processes add their contributions, so that the sum is that of one process
                value = value if share == 1 else value.double() * share
                contributions[name] = contributions[name] + value if name in contributions else value
            self.statistics.end_part()
        self.statistics.end(self.num_parts)
        return contributions

    def _without_exchange(self) -> AbstractContextManager:
        """Returns a context in which gradients accumulate, and are not averaged over the processes."""
        return self.loss_module.no_sync() if isinstance(self.loss_module, DistributedDataParallel) else nullcontext()


def _wrap_distributed(
    module: nn.Module, device: torch.device, worker_timeout_seconds: float
) -> DistributedDataParallel:
    """Wraps a module so that its gradients are averaged over the processes."""
    is_on_gpu = device.type == "cuda"
    # twice as long: the timeout of gloo comes first, and its error can be described
    group = dist.new_group(backend="nccl", timeout=timedelta(seconds=2 * worker_timeout_seconds)) if is_on_gpu else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # older versions lack the new name
        return DistributedDataParallel(
            module,
            process_group=group,
            broadcast_buffers=False,
            find_unused_parameters=True,  # two networks may learn in turns
        )
