"""Losses of generative adversarial networks.

Sources: I. Goodfellow et al., Generative adversarial networks, 2014, https://arxiv.org/abs/1406.2661; X. Mao et al.,
Least squares generative adversarial networks, 2017, https://arxiv.org/abs/1611.04076; T. Miyato et al., Spectral
normalization for generative adversarial networks, 2018, https://arxiv.org/abs/1802.05957 (hinge); M. Arjovsky et al.,
Wasserstein GAN, 2017, https://arxiv.org/abs/1701.07875; I. Gulrajani et al., Improved training of Wasserstein GANs,
2017, https://arxiv.org/abs/1704.00028; L. Mescheder et al., Which training methods for GANs do actually converge?,
2018, https://arxiv.org/abs/1801.04406 (R1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.samples.kernel import squared_mmd
from dgm_run.estimators.samples.precision_recall import measure_precision_recall
from dgm_run.models.latent.gan import GAN, iterate_parameters
from dgm_run.networks.frozen_parameters import frozen_parameters
from dgm_run.objectives.base import Objective, Progress

NEIGHBOURS = 3
"""Number of neighbours for precision and recall on validation data."""
MAX_VALIDATION_EXAMPLES = 1000
"""Largest number of validation examples that samples are compared with."""


class Losses(NamedTuple):
    """Losses of both networks, as functions of the discriminator's outputs.

    Attributes:
        discriminator: outputs a on data and b on samples, (B,) each -> (B,).
        generator: outputs b on samples, (B,) -> (B,).
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


LOSSES = {
    "minimax": Losses(lambda a, b: F.softplus(-a) + F.softplus(b), lambda b: -F.softplus(b)),
    "non_saturating": Losses(lambda a, b: F.softplus(-a) + F.softplus(b), lambda b: F.softplus(-b)),
    "least_squares": Losses(lambda a, b: 0.5 * (a - 1).square() + 0.5 * b.square(), lambda b: 0.5 * (b - 1).square()),
    "hinge": Losses(lambda a, b: F.relu(1 - a) + F.relu(1 + b), lambda b: -b),
    "wasserstein": Losses(lambda a, b: b - a, lambda b: -b),
}


@dataclass(frozen=True)
class Adversarial(Objective[GAN]):
    """Losses that the discriminator and the generator minimise in turn.

    The kernel discrepancy between samples and validation data chooses the checkpoint; the losses cannot.

    Args:
        loss: name of the pair of losses.
        r1: gamma of gamma / 2 E |grad D(x)|^2 on data.
        gradient_penalty: lambda of lambda E (|grad D| - 1)^2 between data and samples.
        clip: largest absolute value of the discriminator's weights; null for no bound.

    Raises:
        ValueError: a penalty is negative or a bound not positive.
    """

    loss: Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"]
    r1: float
    gradient_penalty: float
    clip: float | None

    requires = {"model": GAN}
    monitor = "similarity"

    def __post_init__(self):
        if min(self.r1, self.gradient_penalty) < 0 or (self.clip is not None and self.clip <= 0):
            raise ValueError(
                f"r1 = {self.r1} and gradient_penalty = {self.gradient_penalty} must not be negative, and clip = "
                f"{self.clip} must be positive or null"
            )

    def __call__(self, model: GAN, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes the discriminator's loss; the generator gets no gradient."""
        with torch.no_grad():
            fake = model.draw(len(x))
        has_r1 = self.r1 > 0
        x = x.detach().requires_grad_(has_r1)
        a = model.discriminate(x)  # (B,)
        b = model.discriminate(fake)  # (B,)
        loss = LOSSES[self.loss].discriminator(a, b).mean()
        terms = {
            "discriminator": loss.detach(),
            "logit_data": a.detach().mean(),
            "logit_samples": b.detach().mean(),
        }
        penalty = x.new_zeros(())
        if has_r1:
            (gradient,) = torch.autograd.grad(a.sum(), x, create_graph=True)
            squares = gradient.flatten(1).square().sum(1)  # (B,), |grad D|^2
            penalty = 0.5 * self.r1 * squares.mean()
            terms["slope"] = squares.detach().sqrt().mean()
        if self.gradient_penalty > 0:
            norms = _gradient_norms(model, x.detach(), fake)
            penalty = penalty + self.gradient_penalty * (norms - 1).square().mean()
            terms["slope"] = norms.detach().mean()
        return loss + penalty, terms | {"penalty": penalty.detach()}

    def generator_loss(self, model: GAN, n: int) -> Tensor:
        """Computes the generator's loss on n samples; the discriminator gets no gradient."""
        with frozen_parameters(*model.discriminator):
            b = model.discriminate(model.draw(n))  # (n,)
            return LOSSES[self.loss].generator(b).mean()

    @torch.no_grad()
    def project_parameters(self, model: GAN) -> None:
        if self.clip is not None:
            for parameter in iterate_parameters(model.discriminator):
                parameter.clamp_(-self.clip, self.clip)

    @torch.no_grad()
    def evaluate(
        self, model: GAN, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        """Compares samples with validation data.

        Returns minus the squared kernel discrepancy, precision and recall, the ratio of mean distances within samples
        and within data, the log-odds of both, and the largest singular value of each discriminator layer.
        """
        n = min(MAX_VALIDATION_EXAMPLES, len(data.valid))
        x = data.valid.batch(torch.randperm(len(data.valid))[:n].to(data.valid.x.device))
        fake = model.draw(n)
        report(n, n)
        flat_x = x.flatten(1)
        flat_fake = fake.flatten(1)
        hits = measure_precision_recall(flat_x, flat_fake, NEIGHBOURS)
        metrics = {
            "similarity": -squared_mmd(flat_x, flat_fake),
            "precision": hits.precision.mean(),
            "recall": hits.recall.mean(),
            "spread": torch.pdist(flat_fake).mean() / torch.pdist(flat_x).mean(),
            "logit_data": model.discriminate(x).mean(),
            "logit_samples": model.discriminate(fake).mean(),
        }
        metrics |= {
            f"singular_value_{i}": torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            for i, layer in enumerate(model.discriminator_layers(), 1)
        }
        return {name: value.item() for name, value in metrics.items()}


def _gradient_norms(model: GAN, x: Tensor, fake: Tensor) -> Tensor:
    """Computes |grad D| at random points between pairs of an example and a sample, (B,)."""
    weight = torch.rand(len(x), *(1,) * (x.dim() - 1), dtype=x.dtype, device=x.device)
    between = torch.lerp(fake, x, weight).requires_grad_()
    (gradient,) = torch.autograd.grad(model.discriminate(between).sum(), between, create_graph=True)
    return gradient.flatten(1).norm(dim=1)
