"""Two networks against each other."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dgm_run import rng
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed import process_group
from dgm_run.errors import ConfigError
from dgm_run.models.latent.gan import GAN, parameters_of
from dgm_run.objectives.adversarial import NEIGHBOURS, Adversarial
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext
from dgm_run.trainers.gradient import GradientTrainer, Training

WON = 0.99, 0.01
"""Mean probabilities that the discriminator gives to data and to samples, beyond which it has won."""
ALIKE = 0.1
"""Distance between samples over that between data, below which they have collapsed."""
FAITHFUL, COLLAPSED = 0.5, 0.05
"""Precision above which, and recall below which, samples look like data and cover next to nothing of them."""


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

    def training(self, model: nn.Module, objective: Objective, data: LoadedDataset, session: RunContext) -> Training:
        if len(data.valid) <= NEIGHBOURS:
            raise ConfigError(
                f"a GAN is watched on validation data, and there are {len(data.valid)}: raise dataset.source.num_valid"
            )
        assert isinstance(model, GAN)
        settings = replace(self, optimizer=partial(self._optimizer_of, model))
        return _AdversarialTraining(settings, model, objective, data, session)

    def _optimizer_of(self, model: GAN, parameters: Iterable[nn.Parameter]) -> Optimizer:
        parts = [{"params": list(parameters_of(part))} for part in (model.discriminator, model.generator)]
        optimizer = self.optimizer(parts)
        optimizer.param_groups[1]["lr"] *= self.generator_lr_ratio
        return optimizer


class _AdversarialTraining(Training):
    settings: AdversarialTrainer
    model: GAN
    objective: Adversarial
    told: set[str] = set()
    """What has been said of the course of this training, once each."""
    looks_collapsed = False
    """At the last look at the validation data."""

    def _step(self, position: int) -> None:
        index = self._index(position)
        self._expect(position)
        for turn in range(self.settings.num_critic_steps):
            if turn:
                rng.reseed(self.session.seed, f"examples of turn {turn}", self.state.step)
                index = torch.randint(len(self.data.train), (len(index),)).to(self.data.train.x.device)
            found = self._descend(self._loss_of_part, index, f"turn {turn}")  # moves the network that has a gradient
        found["discriminator_gradient"] = self.gradient_norm
        found["generator"] = self._descend(self._generator_loss, index, "generator")["loss"]
        found["generator_gradient"] = self.gradient_norm
        self._end_step(position, found, len(index))

    def _generator_loss(self, index: Tensor, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        with self._autocast():
            return self.objective.generator_loss(self.model, len(index)), {}

    def _limit_gradients(self) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        self.gradient_norm = norm / process_group.size()  # the same in all processes, each of which adds its part
        super()._limit_gradients()

    def _training_means(self) -> dict[str, float]:
        means = super()._training_means()
        if self.objective.loss in ("minimax", "non_saturating"):
            on_data, on_samples = (torch.tensor(means[name]).sigmoid() for name in ("logit_data", "logit_samples"))
            if on_data > WON[0] and on_samples < WON[1]:
                self._tell(
                    f"the discriminator wins (it takes {on_data:.1%} of the data for data, and {on_samples:.1%} of the "
                    "samples): raise objective.r1 or lower optimizer.lr"
                )
        return means

    def _validate(self, epoch: int) -> dict[str, float]:
        means = super()._validate(epoch)
        alike = means["spread"] < ALIKE
        collapsed = alike or (means["precision"] > FAITHFUL and means["recall"] < COLLAPSED)
        if collapsed and self.looks_collapsed:  # at two looks: the samples of the first steps are all alike
            seen = (
                f"samples are {means['spread']:.1%} as far apart as data"
                if alike
                else f"{means['precision']:.0%} of the samples lie among the data, {means['recall']:.1%} of the data "
                "among the samples"
            )
            self._tell(f"collapse: {seen}: raise objective.r1, or try another objective")
        self.looks_collapsed = collapsed
        return means

    def _tell(self, what: str) -> None:
        begins = what.split(" (")[0].split(":")[0]
        if begins not in self.told:
            self.told = self.told | {begins}
            self.session.display.say(f"step {self.state.step}: {what}")
