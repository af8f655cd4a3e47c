"""Corruptions of data: missing values, which are NaN, and noise.

A corruption is a known channel p(x~ | x) of independent elements. It is drawn once for every example, so that no epoch
shows values that another epoch hides. It turns a model of x into a model of x~ (`models/corrupted.py`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.distributions.observed_marginal import ConditionalCompletion, ObservedMarginal

D = TypeVar("D", bound=Distribution)


class Corruption(ABC):
    """Channel p(x~ | x) of independent elements.

    Attributes:
        takes: kinds of data that it can corrupt (`Dataset.kind`).
        has_true_observations: whether the elements that `observed` keeps have their true values; noise changes them.
        remark: text after the settings in the protocol; empty for none.
    """

    takes: ClassVar[tuple[str, ...]]
    has_true_observations: ClassVar[bool] = False
    remark: ClassVar[str] = ""

    def check(self, shape: Sequence[int]) -> None:  # noqa: B027 - most take any shape
        """Raises a ValueError if examples of this shape cannot be corrupted."""

    @abstractmethod
    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Draws the noise for `num` examples of this shape: (num, ...), on the CPU."""

    @abstractmethod
    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        """Corrupts examples, (B, *shape), by their noise."""

    @abstractmethod
    def observation_density(self, p: Distribution) -> Distribution:
        """Returns p(x~ | z) for p(x | z).

        Raises:
            NotImplementedError: it is not known for this family.
        """

    @abstractmethod
    def posterior_of_x(self, p: Distribution, x_tilde: Tensor) -> Distribution:
        """Returns p(x | x~, z) for p(x | z) and x~, (B, *shape). It has `mean` and `sample`."""

    def observation_density_linear(self, p: LinearGaussian) -> LinearGaussian:
        """Returns p(x~) for a linear Gaussian p(x), over the observed elements."""
        return p

    def observed(self, x_tilde: Tensor) -> Tensor:
        """Returns x~ with NaN for the elements that carry no information about x."""
        return x_tilde

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        """Counts the observed elements of each example of this shape, by its noise: (N,), or a scalar."""
        return torch.tensor(math.prod(shape))

    def target_mask(self, x_tilde: Tensor) -> Tensor:
        """Returns a mask of the elements of x to restore, of the shape of x~."""
        return (
            self.observed(x_tilde).isnan() if self.has_true_observations else torch.ones_like(x_tilde, dtype=torch.bool)
        )

    def debiased_mean(self, mean: Tensor) -> Tensor:
        """Returns the mean of x for the mean of the observed elements."""
        return mean

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Corrupts examples, (N, *shape), by new noise."""
        return self.apply(x, self.draw(len(x), x.shape[1:], generator).to(x.device))

    @property
    def settings(self) -> str:
        """Settings as text, as in `probability 0.5`."""
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())

    def __str__(self) -> str:
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(self).__name__).strip()
        return f"{words} ({self.settings}{self.remark})"


def _image_size(shape: Sequence[int]) -> tuple[int, int]:
    """Returns height and width; 1 and the length for a vector."""
    return (shape[-2], shape[-1]) if len(shape) > 1 else (1, shape[0])


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        nothing = " and leaves no observed element" if probability >= 1 else ""
        raise ValueError(f"probability = {probability} must lie between 0 and 1, the ends left out{nothing}")


class Missing(Corruption):
    """Missing values, independent of the values themselves; all channels of a pixel are missing together."""

    takes: ClassVar[tuple[str, ...]] = ("binary", "levels", "continuous", "mixed")
    has_true_observations = True

    @abstractmethod
    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """Draws a mask that is True for missing pixels, (num, height, width)."""

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        height, width = _image_size(shape)
        mask = self.draw_mask(num, height, width, generator)
        return mask.view(num, *[1] * (len(shape) - 2), *shape[-2:])

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return x.masked_fill(corruption_noise, torch.nan)

    def observation_density(self, p: Distribution) -> Distribution:
        return ObservedMarginal(p)

    def posterior_of_x(self, p: Distribution, x_tilde: Tensor) -> Distribution:
        return ConditionalCompletion(p, x_tilde)

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        num_missing = corruption_noise.flatten(1).sum(1) * (math.prod(shape) // corruption_noise[0].numel())
        return math.prod(shape) - num_missing


class MissingValues(Missing):
    """Missing values of the data themselves, NaN in the arrays. It hides no further values."""

    takes = ("binary", "continuous", "mixed")

    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        return torch.zeros(num, height, width, dtype=torch.bool)

    def __str__(self) -> str:
        return "missing values"


class MissingAtRandom(Missing):
    """Pixels that are missing independently, with probability `probability`."""

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        return torch.rand(num, height, width, generator=generator) < self.probability


class MissingRegion(Missing):
    """Missing region of an image; vectors are refused."""

    def check(self, shape: Sequence[int]) -> None:
        if min(_image_size(shape)) < 2:
            raise ValueError(f"{type(self).__name__} needs images, and {list(shape)} is none: use missing_at_random")


class MissingRows(MissingRegion):
    """Random rows of every image, a share `probability` of them."""

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        num_hidden = min(max(round(self.probability * height), 1), height - 1)
        ranks = torch.rand(num, height, generator=generator).argsort(1)
        return (ranks < num_hidden).unsqueeze(-1).expand(-1, -1, width).contiguous()


class MissingHalf(MissingRegion):
    """Missing half of every image, on the same side."""

    def __init__(self, side: Literal["top", "bottom", "left", "right"]):
        self.side = side

    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        mask = torch.zeros(num, height, width, dtype=torch.bool)
        top = height // 2
        left = width // 2
        halves = {"top": mask[:, :top], "bottom": mask[:, top:], "left": mask[..., :left], "right": mask[..., left:]}
        halves[self.side].fill_(True)  # a view of the mask
        return mask


class MissingBlock(MissingRegion):
    """Missing block at a random position, with the image's aspect ratio and a share `probability` of its area.

    At least one row and one column stay.
    """

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def draw_mask(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        mask = torch.ones(num, height, width, dtype=torch.bool)
        for axis, size in ((1, height), (2, width)):
            side = min(max(round(math.sqrt(self.probability) * size), 1), size - 1)
            first = torch.randint(size - side + 1, (num, 1), generator=generator)
            position = torch.arange(size)
            is_inside = (position >= first) & (position < first + side)
            mask &= is_inside.unsqueeze(3 - axis)
        return mask


class GaussianNoise(Corruption):
    """Gaussian noise: x~ = x + scale epsilon, with a standard Gaussian epsilon for every element."""

    takes = ("continuous",)

    def __init__(self, scale: float):
        if not 0 < scale < math.inf:
            raise ValueError(f"scale = {scale} must be a positive number")
        self.scale = scale

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(num, *shape, generator=generator)

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return x + self.scale * corruption_noise

    def observation_density(self, p: Distribution) -> IndependentGaussian:
        p = _refuse_other_family(p, IndependentGaussian, "Gaussian noise", "likelihood=gaussian")
        return IndependentGaussian(p.mean, 0.5 * self._add_noise_variance(2 * p.log_scale), len(p.event_shape))

    def observation_density_linear(self, p: LinearGaussian) -> LinearGaussian:
        return LinearGaussian(p.weight, p.bias, self._add_noise_variance(p.log_var))

    def _add_noise_variance(self, log_var: Tensor) -> Tensor:
        return torch.logaddexp(log_var, log_var.new_tensor(2 * math.log(self.scale)))

    def posterior_of_x(self, p: Distribution, x_tilde: Tensor) -> IndependentGaussian:
        p = _refuse_other_family(p, IndependentGaussian, "Gaussian noise", "likelihood=gaussian")
        log_ratio = 2 * (math.log(self.scale) - p.log_scale)  # log-ratio of the variances of the noise and p(x | z)
        weight = log_ratio.sigmoid()  # weight of p(x | z), which grows with the noise
        log_scale = p.log_scale + 0.5 * F.logsigmoid(log_ratio)
        return IndependentGaussian(torch.lerp(x_tilde.expand_as(p.mean), p.mean, weight), log_scale, len(p.event_shape))


class BitFlip(Corruption):
    """Flips of binary elements, each with probability `probability`."""

    takes = ("binary",)

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(num, *shape, generator=generator) < self.probability

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return torch.where(corruption_noise, 1 - x, x)

    def observation_density(self, p: Distribution) -> Bernoulli:
        p = _refuse_other_family(p, Bernoulli, "flipped bits", "likelihood=bernoulli")
        log_one = F.logsigmoid(p.logits)
        log_zero = F.logsigmoid(-p.logits)
        log_stay, log_flip = self._log_probabilities()
        logits = torch.logaddexp(log_one + log_stay, log_zero + log_flip) - torch.logaddexp(
            log_zero + log_stay, log_one + log_flip
        )
        return Bernoulli(logits, len(p.event_shape))

    def debiased_mean(self, mean: Tensor) -> Tensor:
        if self.probability == 0.5:
            return mean  # x~ carries no information
        return ((mean - self.probability) / (1 - 2 * self.probability)).clamp(0, 1)

    def posterior_of_x(self, p: Distribution, x_tilde: Tensor) -> Bernoulli:
        p = _refuse_other_family(p, Bernoulli, "flipped bits", "likelihood=bernoulli")
        log_stay, log_flip = self._log_probabilities()
        return Bernoulli(p.logits + (2 * x_tilde - 1) * (log_stay - log_flip), len(p.event_shape))

    def _log_probabilities(self) -> tuple[float, float]:
        """Returns the log-probabilities that an element stays and that it flips."""
        return math.log1p(-self.probability), math.log(self.probability)


class SaltAndPepper(Corruption):
    """Salt and pepper: real-valued elements are replaced by 0 or 1, at even odds, with probability `probability`.

    An element that is exactly 0 or 1 counts as replaced, and every other element as true. For binary elements this is
    `BitFlip` with half the probability.
    """

    takes = ("continuous",)
    has_true_observations = True
    remark = "; replaced elements are not counted"

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        return (corruption_noise < 0).flatten(1).sum(1)

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """Draws -1 for an element that stays, and the new value, 0 or 1, of any other."""
        u = torch.rand(num, *shape, generator=generator)
        return torch.where(
            u < self.probability, (2 * u < self.probability).to(torch.int8), torch.tensor(-1, dtype=torch.int8)
        )

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return torch.where(corruption_noise < 0, x, corruption_noise.to(x.dtype))

    def observed(self, x_tilde: Tensor) -> Tensor:
        return x_tilde.masked_fill((x_tilde == 0) | (x_tilde == 1), torch.nan)

    def observation_density(self, p: Distribution) -> Distribution:
        return _TrueElements(p, self.observed)

    def posterior_of_x(self, p: Distribution, x_tilde: Tensor) -> Distribution:
        return ConditionalCompletion(p, self.observed(x_tilde))


class _TrueElements(ObservedMarginal):
    """Density of the true elements. The mass of replaced elements does not depend on z, and is left out."""

    def __init__(self, p: Distribution, observed: Callable[[Tensor], Tensor]):
        super().__init__(p)
        self.observed = observed

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(self.observed(value))


def _refuse_other_family(p: Distribution, kind: type[D], what: str, choice: str) -> D:
    if not isinstance(p, kind):
        raise NotImplementedError(f"the density of {type(p).__name__} with {what} is not known: choose {choice}")
    return p
