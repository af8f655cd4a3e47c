"""Generative classifier with one density for each class.

Source: C. Chow, On optimum recognition error and reject tradeoff, 1970 (the decision and its rejection).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.errors import join_warnings
from dgm_run.models.base import ExactModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.models.linear.factor_analysis import EMModel, FactorAnalysis, Moments
from dgm_run.networks.module_list import ModuleList


class ClassConditional(JointModel, ExactModel, EMModel):
    """p(x, y) = p(y) p(x | y), each p(x | y) a factor analysis; Bayes' rule gives the exact p(y | x).

    It learns from labelled examples only. As a model of x it is the mixture of the densities of all classes.

    Args:
        num_classes: C.
        part: builds a new p(x | y).
    """

    takes = ("continuous",)

    def __init__(self, num_classes: int, part: Callable[[], FactorAnalysis]):
        super().__init__()
        self.num_classes = num_classes
        self.parts = ModuleList(part() for _ in range(num_classes))
        self.register_buffer("log_p_label", torch.full((num_classes,), -math.log(num_classes)))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Initializes the density of every class from all examples; the first EM step separates the classes."""
        for part in self.parts:
            part.initialize(x)

    def log_joint(self, observation: Tensor, num_samples: int) -> Tensor:
        log_p_x = torch.stack([part.log_prob(observation).double() for part in self.parts])  # (C, B)
        return log_p_x + self.log_p_label.unsqueeze(1)

    def classify(self, observation: Tensor) -> Tensor:
        return self.log_joint(observation, 1).T.log_softmax(-1).to(observation.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_joint(x, 1).logsumexp(0).to(x.dtype)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws n examples, (n, *shape)."""
        labels = torch.multinomial(self.log_p_label.exp(), n, replacement=True)
        x = torch.stack([part.sample(n) for part in self.parts])  # (C, n, *shape)
        return x[labels, torch.arange(n, device=labels.device)]

    def sample_of_class(self, n: int, y: int) -> Tensor:
        return self.parts[y].sample(n)

    @torch.no_grad()
    def decode_class_means(self, n: int, like: Tensor) -> Tensor:
        z = self.parts[0].latent_prior().sample((n,)).to(like)
        return torch.cat([part.decode(z).mean for part in self.parts])

    def compute_statistics(self, train: DataSplit) -> tuple[Tensor, list[Moments]]:
        """Computes the class frequencies, (C,), and the moments of each class, over the labelled training examples.

        Raises:
            ValueError: a class has fewer than two labelled examples, or no scale for its noise floor.
        """
        assert train.y is not None
        y = train.y[train.labelled]
        class_indices = [train.labelled[y == k] for k in range(self.num_classes)]
        counts = torch.tensor([float(len(index)) for index in class_indices])
        empty = (counts < 2).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"class {empty[0]} has {int(counts[empty[0]])} labelled examples and needs two or more: raise "
                "dataset.num_labels, or add examples of it"
            )
        moments = [Moments.from_batches([train.batch(index)]) for index in class_indices]
        for k, (part, of_class) in enumerate(zip(self.parts, moments, strict=True)):
            try:
                part.noise_floor(of_class.variance)
            except ValueError as error:
                raise ValueError(f"class {k}: {error}") from None
        return counts / counts.sum(), moments

    @torch.no_grad()
    def em_step(self, statistics: tuple[Tensor, list[Moments]]) -> Tensor:
        """Makes one EM step for every class; returns the mean of log p(x, y) before it, nats."""
        frequencies, moments = statistics
        self.log_p_label.copy_(frequencies.log())
        pairs = zip(self.parts, moments, strict=True)
        log_p_x = torch.stack([part.em_step(of_class) for part, of_class in pairs])  # (C,), means before the step
        return (frequencies.to(log_p_x) * (log_p_x + self.log_p_label.to(log_p_x))).sum()

    @property
    def likelihood_warning(self) -> str | None:
        """Warnings about the likelihoods of single classes; None without any."""
        warnings = [(k, part.likelihood_warning) for k, part in enumerate(self.parts)]
        return join_warnings(
            *(f"class {k}: {line}" for k, warning in warnings for line in (warning or "").splitlines())
        )
