"""A model of its own for every class.

Source: of the decision and of when to decline it, C. Chow, On optimum recognition error and reject tradeoff, 1970.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgm_run.data.dataset import DataSplit
from dgm_run.models.base import ExactModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.models.linear.factor_analysis import FactorAnalysis, FittedByEM, Moments
from dgm_run.networks.module_list import ModuleList


class ClassConditional(JointModel, ExactModel, FittedByEM):
    """p(x, y) = p(y) p(x | y), each p(x | y) a factor analysis; p(y | x) is by the rule of Bayes, exact.

    Learned from labelled examples alone. As a model of x it is the mixture of its parts.

    Args:
        num_classes: K.
        part: gives a fresh p(x | y).
    """

    log_p_label: Tensor
    takes = ("continuous",)

    def __init__(self, num_classes: int, part: Callable[[], FactorAnalysis]):
        super().__init__()
        self.num_classes = num_classes
        self.parts = ModuleList(part() for _ in range(num_classes))
        self.register_buffer("log_p_label", torch.full((num_classes,), -math.log(num_classes)))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """All parts start from all examples; the first step of a fit takes each to its own."""
        for part in self.parts:
            part.initialize(x)

    def log_joint(self, seen: Tensor, num_samples: int) -> Tensor:
        return torch.stack([part.log_prob(seen).double() for part in self.parts]) + self.log_p_label.unsqueeze(1)

    def classify(self, seen: Tensor) -> Tensor:
        return self.log_joint(seen, 1).T.log_softmax(-1).to(seen.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_joint(x, 1).logsumexp(0).to(x.dtype)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n draws, (n, *shape)."""
        labels = torch.multinomial(self.log_p_label.exp(), n, replacement=True)
        x = torch.stack([part.sample(n) for part in self.parts])  # (K, n, *shape)
        return x[labels, torch.arange(n, device=labels.device)]

    @torch.no_grad()
    def by_class(self, n: int, like: Tensor) -> Tensor:
        z = self.parts[0].latent_prior().sample((n,)).to(like)
        return torch.cat([part.decode(z).mean for part in self.parts])

    def statistics(self, train: DataSplit) -> tuple[Tensor, list[Moments]]:
        """Shares of the classes, (K,), and the moments of each, of the examples whose labels may be used."""
        assert train.y is not None
        y = train.y[train.labelled]
        of_class = [train.labelled[y == k] for k in range(self.num_classes)]
        counts = torch.tensor([float(len(index)) for index in of_class])
        empty = (counts < 2).nonzero().flatten().tolist()
        if empty:
            raise ValueError(f"class {empty[0]} has {int(counts[empty[0]])} labelled examples, two or more are needed")
        moments = [Moments.of([train.batch(index)]) for index in of_class]
        for k, (part, each) in enumerate(zip(self.parts, moments, strict=True)):
            try:
                part.noise_floor(each.variance)
            except ValueError as error:
                raise ValueError(f"class {k}: {error}") from None
        return counts / counts.sum(), moments

    @torch.no_grad()
    def em_step(self, statistics: tuple[Tensor, list[Moments]]) -> Tensor:
        """A step of every part; the mean of log p(x, y) before it."""
        shares, moments = statistics
        self.log_p_label.copy_(shares.log())
        before = torch.stack([part.em_step(each) for part, each in zip(self.parts, moments, strict=True)])
        return (shares.to(before) * (before + self.log_p_label.to(before))).sum()

    @property
    def likelihood_warning(self) -> str | None:
        """What the likelihoods of the parts depend on, class by class; None for nothing."""
        told = [(k, part.likelihood_warning) for k, part in enumerate(self.parts)]
        return "; ".join(f"class {k}: {warning}" for k, warning in told if warning) or None
