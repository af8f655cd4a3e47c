"""Two networks against each other."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from torch.optim import Optimizer

from dgm_run.data.dataset import LoadedDataset
from dgm_run.models.gan import GAN, parameters_of
from dgm_run.objectives.adversarial import Adversarial
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import Session, TrainingSummary
from dgm_run.trainers.gradient import GradientTrainer, Training

WON = 0.99, 0.01
"""Mean probabilities that the discriminator gives to data and to samples, beyond which it has won."""


@dataclass(frozen=True)
class AdversarialTrainer(GradientTrainer):
    """A step is some of the discriminator, each on other data, and one of the generator.

    One optimizer holds both networks, so that checkpoints and their resumption are those of `GradientTrainer`.

    Args:
        num_critic_steps: of the discriminator for one of the generator.
        generator_lr_ratio: learning rate of the generator over that of the discriminator.

    Raises:
        ValueError: a number is not positive, or the step is to be compiled.
    """

    num_critic_steps: int
    generator_lr_ratio: float

    requires = {"model": GAN, "objective": Adversarial}

    def __post_init__(self):
        super().__post_init__()
        if self.compile:
            raise ValueError("compile: second derivatives cannot be compiled: set trainer.compile=false")

    def fit(self, model: nn.Module, objective: Objective, data: LoadedDataset, session: Session) -> TrainingSummary:
        settings = replace(self, optimizer=partial(self._optimizer_of, model))
        return _AdversarialTraining(settings, model, objective, data, session).run()

    def _optimizer_of(self, model: GAN, parameters: Iterable[nn.Parameter]) -> Optimizer:
        parts = [{"params": list(parameters_of(part))} for part in (model.discriminator, model.generator)]
        optimizer = self.optimizer(parts)
        optimizer.param_groups[1]["lr"] *= self.generator_lr_ratio
        return optimizer


class _AdversarialTraining(Training):
    told = False
    """Whether it has been said that the discriminator wins."""

    def _step(self, position: int) -> None:
        index = self._begin_step(position)
        for turn in range(self.settings.num_critic_steps):
            if turn:
                index = torch.randint(len(self.data.train), (len(index),)).to(self.device)
            loss, terms = self.loss_of(index, self.progress)
            self._descend(loss)  # moves the network that has a gradient
        with self._autocast():
            generator = self.objective.generator_loss(self.model, len(index))
        self._descend(generator)
        self._end_step(position, loss, terms | {"generator": generator}, len(index))

    def _training_means(self) -> dict[str, float]:
        means = super()._training_means()
        if self.objective.loss in ("minimax", "non_saturating") and not self.told:
            on_data, on_samples = (torch.tensor(means[name]).sigmoid() for name in ("logit_data", "logit_samples"))
            if on_data > WON[0] and on_samples < WON[1]:
                self.told = True
                self.session.display.say(
                    f"step {self.state.step}: the discriminator wins (it takes {on_data:.1%} of the data for data, and "
                    f"{on_samples:.1%} of the samples): raise objective.r1 or lower optimizer.lr"
                )
        return means
