"""Schedule of learning rate and momentum for restricted Boltzmann machines.

Source: G. Hinton, A practical guide to training restricted Boltzmann machines, 2010, section 9.
"""

import torch


class LinearWithMomentum(torch.optim.lr_scheduler.LinearLR):
    """Schedule of a learning rate that falls linearly to zero, and of a momentum that is low in the first epochs.

    Args:
        optimizer: optimizer with a momentum, such as SGD.
        total_iters: epochs until the learning rate is zero.
        low_momentum: momentum of the first epochs, in which the gradient is large.
        low_epochs: number of these epochs.

    Raises:
        ValueError: the optimizer has no momentum.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, total_iters: int, low_momentum: float, low_epochs: int):
        if any("momentum" not in group for group in optimizer.param_groups):
            raise ValueError(f"{type(optimizer).__name__} has no momentum to schedule: choose optimizer=sgd")
        self.low_momentum = low_momentum
        self.low_epochs = low_epochs
        self.high_momentum = [group["momentum"] for group in optimizer.param_groups]
        super().__init__(optimizer, start_factor=1.0, end_factor=0.0, total_iters=total_iters)

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        for group, high in zip(self.optimizer.param_groups, self.high_momentum, strict=True):
            group["momentum"] = self.low_momentum if self.last_epoch < self.low_epochs else high
