"""Adversarial training of a generator and a discriminator."""

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
from dgm_run.models.latent.gan import GAN, iterate_parameters
from dgm_run.objectives.adversarial import NEIGHBOURS, Adversarial
from dgm_run.objectives.base import Objective
from dgm_run.trainers.base import RunContext
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.training_loop import TrainingLoop

MAX_DATA_PROBABILITY = 0.99
"""Mean probability that the discriminator gives to data, above which a warning says that it wins."""
MIN_SAMPLE_PROBABILITY = 0.01
"""Mean probability that the discriminator gives to samples, below which a warning says that it wins."""
MIN_SPREAD = 0.1
"""Mean distance between samples, relative to that between data, below which samples have collapsed."""
COLLAPSE_PRECISION = 0.5
"""Precision above which samples resemble data."""
COLLAPSE_RECALL = 0.05
"""Recall below which samples cover almost none of the data."""


@dataclass(frozen=True)
class AdversarialTrainer(GradientTrainer):
    """Trainer whose step has several updates of the discriminator, on different data, and one of the generator.

    One optimizer holds both networks, so that checkpoints have the form of `GradientTrainer`.

    Args:
        num_critic_steps: updates of the discriminator for each update of the generator.
        generator_lr_ratio: learning rate of the generator, relative to the discriminator's.

    Raises:
        ValueError: a number is not positive, or `compile` is set.
    """

    num_critic_steps: int
    generator_lr_ratio: float

    requires = {"model": GAN, "objective": Adversarial}

    def __post_init__(self):
        super().__post_init__()
        if self.compile:
            raise ValueError("compile: second derivatives cannot be compiled: set trainer.compile=false")

    def make_loop(
        self, model: nn.Module, objective: Objective, data: LoadedDataset, context: RunContext
    ) -> TrainingLoop:
        if len(data.valid) <= NEIGHBOURS:
            raise ConfigError(
                f"dataset: a GAN needs more than {NEIGHBOURS} validation examples and has {len(data.valid)}: raise "
                "dataset.source.num_valid"
            )
        assert isinstance(model, GAN)
        settings = replace(self, optimizer=partial(self._make_optimizer, model))
        return _AdversarialTraining(settings, model, objective, data, context)

    def _make_optimizer(self, model: GAN, parameters: Iterable[nn.Parameter]) -> Optimizer:
        parts = [{"params": list(iterate_parameters(part))} for part in (model.discriminator, model.generator)]
        optimizer = self.optimizer(parts)
        optimizer.param_groups[1]["lr"] *= self.generator_lr_ratio
        return optimizer


class _AdversarialTraining(TrainingLoop):
    """Training loop whose step updates the discriminator several times and the generator once."""

    settings: AdversarialTrainer
    model: GAN
    objective: Adversarial
    given_warnings: set[str] = set()
    """Beginnings of the warnings that have been printed."""
    was_collapsed = False
    """Whether samples had collapsed at the last validation."""

    def _step(self, position: int) -> None:
        index = self._select_batch(position)
        self._prefetch(position)
        for turn in range(self.settings.num_critic_steps):
            if turn:
                rng.reseed(self.context.seed, f"examples of turn {turn}", self.state.step)
                index = torch.randint(len(self.data.train), (len(index),)).to(self.data.train.x.device)
            # a network without a gradient keeps its weights: here the generator, below the discriminator
            terms = self._optimizer_step(self._loss_of_part, index, f"turn {turn}")
        terms["discriminator_gradient"] = self.gradient_norm
        terms["generator"] = self._optimizer_step(self._generator_loss, index, "generator")["loss"]
        terms["generator_gradient"] = self.gradient_norm
        self._end_step(position, terms, len(index))

    def _generator_loss(self, index: Tensor, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        with self._autocast():
            return self.objective.generator_loss(self.model, len(index)), {}

    def _clip_gradients(self) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        self.gradient_norm = norm / process_group.size()  # every process adds its part of the equal norm
        super()._clip_gradients()

    def _average_terms(self) -> dict[str, float]:
        means = super()._average_terms()
        if self.objective.loss in ("minimax", "non_saturating"):
            p_data = torch.tensor(means["logit_data"]).sigmoid()
            p_samples = torch.tensor(means["logit_samples"]).sigmoid()
            if p_data > MAX_DATA_PROBABILITY and p_samples < MIN_SAMPLE_PROBABILITY:
                self._warn_once(
                    f"the discriminator wins (it takes {p_data:.1%} of the data for data, and {p_samples:.1%} of the "
                    "samples): raise objective.r1 or lower optimizer.lr"
                )
        return means

    def _validate(self, epoch: int) -> dict[str, float]:
        means = super()._validate(epoch)
        symptom = _describe_collapse(means)
        if symptom and self.was_collapsed:  # twice in a row, because the samples of the first steps are all alike
            self._warn_once(f"collapse: {symptom}: raise objective.r1, or try another objective")
        self.was_collapsed = bool(symptom)
        return means

    def _warn_once(self, warning: str) -> None:
        """Prints a warning, unless one with the same beginning was printed before."""
        beginning = warning.split(" (")[0].split(":")[0]
        if beginning not in self.given_warnings:
            self.given_warnings = self.given_warnings | {beginning}
            self.context.display.say(f"step {self.state.step}: {warning}")


def _describe_collapse(means: dict[str, float]) -> str | None:
    """Describes the collapse of the samples, from the terms of a validation; None without a collapse."""
    if means["spread"] < MIN_SPREAD:
        return f"samples are {means['spread']:.1%} as far apart as data"
    if means["precision"] > COLLAPSE_PRECISION and means["recall"] < COLLAPSE_RECALL:
        return (
            f"{means['precision']:.0%} of the samples lie among the data, {means['recall']:.1%} of the data among the "
            "samples"
        )
    return None
