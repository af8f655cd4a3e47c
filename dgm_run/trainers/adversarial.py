"""Adversarial training of a generator and a discriminator."""

from collections.abc import Iterable, Iterator, Mapping
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
from dgm_run.trainers.gradient import GradientTrainer
from dgm_run.trainers.gradient_step import GradientStep
from dgm_run.trainers.step import Step

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
        ValueError: a number is not positive, or `compile` is true.
    """

    num_critic_steps: int
    generator_lr_ratio: float

    requires = {"model": GAN, "objective": Adversarial}

    def __post_init__(self):
        super().__post_init__()
        if self.compile is True:
            raise ValueError("compile: second derivatives cannot be compiled: set trainer.compile=false")

    def compiles_step(self, num_examples: int) -> bool:
        return False

    def make_step(self, model: nn.Module, objective: Objective, data: LoadedDataset, seed: int) -> Step:
        if len(data.valid) <= NEIGHBOURS:
            raise ConfigError(
                f"dataset: a GAN needs more than {NEIGHBOURS} validation examples and has {len(data.valid)}: raise "
                "dataset.source.num_valid"
            )
        assert isinstance(model, GAN)
        assert isinstance(objective, Adversarial)
        settings = replace(self, optimizer=partial(self._make_optimizer, model))
        return AdversarialStep(settings, model, objective, data.train, seed)

    def _make_optimizer(self, model: GAN, parameters: Iterable[nn.Parameter]) -> Optimizer:
        parts = [{"params": list(iterate_parameters(part))} for part in (model.discriminator, model.generator)]
        optimizer = self.optimizer(parts)
        optimizer.param_groups[1]["lr"] *= self.generator_lr_ratio
        return optimizer


class AdversarialStep(GradientStep):
    """Step that updates the discriminator several times and the generator once."""

    settings: AdversarialTrainer
    model: GAN
    objective: Adversarial
    was_collapsed = False
    """Whether samples had collapsed at the last validation."""

    def __call__(self, index: Tensor, number: int) -> dict[str, Tensor]:
        for turn in range(self.settings.num_critic_steps):
            if turn:
                rng.reseed(self.seed, f"examples of turn {turn}", number)
                index = torch.randint(len(self.train), (len(index),)).to(self.train.x.device)
            # a network without a gradient keeps its weights: here the generator, below the discriminator
            terms = self.descend(self.compute_loss_of_part, index, f"turn {turn}", number)
        terms["discriminator_gradient"] = self.gradient_norm
        terms["generator"] = self.descend(self._compute_generator_loss, index, "generator", number)["loss"]
        terms["generator_gradient"] = self.gradient_norm
        return terms

    def _compute_generator_loss(self, index: Tensor, part: int) -> tuple[Tensor, dict[str, Tensor]]:
        with self.autocast():
            return self.objective.generator_loss(self.model, len(index)), {}

    def clip_gradients(self) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        self.gradient_norm = norm / process_group.size()  # every process adds its part of the equal norm
        super().clip_gradients()

    def describe_problems(self, values: Mapping[str, float]) -> Iterator[str]:
        if self.objective.loss in ("minimax", "non_saturating"):
            p_data = torch.tensor(values["train/logit_data"]).sigmoid()
            p_samples = torch.tensor(values["train/logit_samples"]).sigmoid()
            if p_data > MAX_DATA_PROBABILITY and p_samples < MIN_SAMPLE_PROBABILITY:
                yield (
                    f"the discriminator wins (it takes {p_data:.1%} of the data for data, and {p_samples:.1%} of the "
                    "samples): raise objective.r1 or lower optimizer.lr"
                )
        if "valid/spread" in values:
            symptom = _describe_collapse(values)
            if symptom and self.was_collapsed:  # twice in a row, because the samples of the first steps are all alike
                yield f"collapse: {symptom}: raise objective.r1, or try another objective"
            self.was_collapsed = bool(symptom)


def _describe_collapse(values: Mapping[str, float]) -> str | None:
    """Describes the collapse of the samples, from the logged values of a validation; None without a collapse."""
    spread = values["valid/spread"]
    precision = values["valid/precision"]
    recall = values["valid/recall"]
    if spread < MIN_SPREAD:
        return f"samples are {spread:.1%} as far apart as data"
    if precision > COLLAPSE_PRECISION and recall < COLLAPSE_RECALL:
        return f"{precision:.0%} of the samples lie among the data, {recall:.1%} of the data among the samples"
    return None
