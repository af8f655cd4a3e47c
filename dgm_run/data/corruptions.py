"""What stands between an example and what is seen of it: holes, which are NaN, and noise.

A corruption is a known channel p(x~ | x), one element at a time. It is drawn once for every example and stays, so that
no epoch shows what another has hidden; and a model of x becomes one of x~ by it (`models/corrupted.py`).
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
    """p(x~ | x) of independent elements.

    Attributes:
        takes: the kinds of data it can be applied to (`Dataset.kind`).
        known_is_true: whether what is known of x is x itself.
        remark: what is to be said of it beside a number; empty for nothing.
    """

    takes: ClassVar[tuple[str, ...]]
    known_is_true: ClassVar[bool] = False
    remark: ClassVar[str] = ""

    def check(self, shape: Sequence[int]) -> None:  # noqa: B027 - most take any shape
        """Raises a ValueError where it makes no sense of examples of this shape."""

    @abstractmethod
    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """What is random about it for `num` examples of this shape: (num, ...), on the CPU."""

    @abstractmethod
    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        """x~ of examples, (B, *shape), by what was drawn for them."""

    @abstractmethod
    def observation_density(self, p: Distribution) -> Distribution:
        """p(x~ | z) by p(x | z).

        Raises:
            NotImplementedError: it is not known for this family.
        """

    @abstractmethod
    def posterior_of_x(self, p: Distribution, seen: Tensor) -> Distribution:
        """p(x | x~, z) by p(x | z), with its `mean` and `sample`: what may have stood behind x~, (B, *shape)."""

    def observation_density_linear(self, p: LinearGaussian) -> LinearGaussian:
        """The same of a linear Gaussian p(x), for the elements that are known."""
        return p

    def observed(self, seen: Tensor) -> Tensor:
        """x~ with NaN where it says nothing of x."""
        return seen

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        """How many elements are seen of each example of this shape, by what was drawn: (N,), or a scalar."""
        return torch.tensor(math.prod(shape))

    def target_mask(self, seen: Tensor) -> Tensor:
        """Where x is to be restored: a mask of the shape of x~."""
        return self.observed(seen).isnan() if self.known_is_true else torch.ones_like(seen, dtype=torch.bool)

    def debiased_mean(self, mean: Tensor) -> Tensor:
        """The mean of x by that of what is known of it."""
        return mean

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """x~ of examples, (N, *shape), with fresh draws."""
        return self.apply(x, self.draw(len(x), x.shape[1:], generator).to(x.device))

    @property
    def settings(self) -> str:
        """In words."""
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())

    def __str__(self) -> str:
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in type(self).__name__).strip()
        return f"{words} ({self.settings}{self.remark})"


def _size(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width; of a vector 1 and its length."""
    return (shape[-2], shape[-1]) if len(shape) > 1 else (1, shape[0])


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        nothing = " and leaves nothing to see" if probability >= 1 else ""
        raise ValueError(f"probability = {probability} must lie between 0 and 1, the ends left out{nothing}")


class Missing(Corruption):
    """Elements are missing whatever their value is; all channels of a pixel together."""

    takes: ClassVar[tuple[str, ...]] = ("binary", "levels", "continuous")
    known_is_true = True

    @abstractmethod
    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """True where nothing is seen, (num, height, width)."""

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        height, width = _size(shape)
        holes = self.holes(num, height, width, generator)
        return holes.view(num, *[1] * (len(shape) - 2), *shape[-2:])

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return x.masked_fill(corruption_noise, torch.nan)

    def observation_density(self, p: Distribution) -> Distribution:
        return ObservedMarginal(p)

    def posterior_of_x(self, p: Distribution, seen: Tensor) -> Distribution:
        return ConditionalCompletion(p, seen)

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        holes = corruption_noise.flatten(1).sum(1) * (math.prod(shape) // corruption_noise[0].numel())
        return math.prod(shape) - holes


class MissingValues(Missing):
    """The holes that the data have by themselves: NaN in the arrays. It adds none."""

    takes = ("continuous",)

    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        return torch.zeros(num, height, width, dtype=torch.bool)

    def __str__(self) -> str:
        return "missing values"


class MissingAtRandom(Missing):
    """Every pixel by itself, with probability `probability`."""

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        return torch.rand(num, height, width, generator=generator) < self.probability


class MissingRegion(Missing):
    """What is missing lies together: of an image, not of a vector."""

    def check(self, shape: Sequence[int]) -> None:
        if min(_size(shape)) < 2:
            raise ValueError(f"{type(self).__name__} is of images, and {list(shape)} is none: use missing_at_random")


class MissingRows(MissingRegion):
    """This probability of the rows of every image, drawn at random."""

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        hidden = min(max(round(self.probability * height), 1), height - 1)
        ranks = torch.rand(num, height, generator=generator).argsort(1)
        return (ranks < hidden).unsqueeze(-1).expand(-1, -1, width).contiguous()


class MissingHalf(MissingRegion):
    """One half of every image, always the same."""

    def __init__(self, side: Literal["top", "bottom", "left", "right"]):
        self.side = side

    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        holes = torch.zeros(num, height, width, dtype=torch.bool)
        top, left = height // 2, width // 2
        rows, columns = holes, holes.mT  # views
        half = {"top": rows[:, :top], "bottom": rows[:, top:], "left": columns[:, :left], "right": columns[:, left:]}
        half[self.side].fill_(True)
        return holes


class MissingBlock(MissingRegion):
    """A block of this probability of the image, as high to its height as it is wide to its width, somewhere in it.

    A row and a column are left at least.
    """

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def holes(self, num: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        holes = torch.ones(num, height, width, dtype=torch.bool)
        for axis, size in ((1, height), (2, width)):
            side = min(max(round(math.sqrt(self.probability) * size), 1), size - 1)
            first = torch.randint(size - side + 1, (num, 1), generator=generator)
            place = torch.arange(size)
            inside = (place >= first) & (place < first + side)
            holes &= inside.unsqueeze(3 - axis)
        return holes


class GaussianNoise(Corruption):
    """x~ = x + scale epsilon, with a standard Gaussian epsilon for every element."""

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
        p = _expect(p, IndependentGaussian, "Gaussian noise", "likelihood=gaussian")
        return IndependentGaussian(p.mean, 0.5 * self._added_to(2 * p.log_scale), len(p.event_shape))

    def observation_density_linear(self, p: LinearGaussian) -> LinearGaussian:
        return LinearGaussian(p.weight, p.bias, self._added_to(p.log_var))

    def _added_to(self, log_var: Tensor) -> Tensor:
        return torch.logaddexp(log_var, log_var.new_tensor(2 * math.log(self.scale)))

    def posterior_of_x(self, p: Distribution, seen: Tensor) -> IndependentGaussian:
        p = _expect(p, IndependentGaussian, "Gaussian noise", "likelihood=gaussian")
        log_ratio = 2 * (math.log(self.scale) - p.log_scale)  # of the variances of noise and p(x | z)
        weight = log_ratio.sigmoid()  # of p(x | z): the wider the noise is
        log_scale = p.log_scale + 0.5 * F.logsigmoid(log_ratio)
        return IndependentGaussian(torch.lerp(seen.expand_as(p.mean), p.mean, weight), log_scale, len(p.event_shape))


class BitFlip(Corruption):
    """Every binary element is turned over with probability `probability`."""

    takes = ("binary",)

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(num, *shape, generator=generator) < self.probability

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return torch.where(corruption_noise, 1 - x, x)

    def observation_density(self, p: Distribution) -> Bernoulli:
        p = _expect(p, Bernoulli, "flipped bits", "likelihood=bernoulli")
        one, zero, stays, turns = F.logsigmoid(p.logits), F.logsigmoid(-p.logits), *self._log_shares()
        logits = torch.logaddexp(one + stays, zero + turns) - torch.logaddexp(zero + stays, one + turns)
        return Bernoulli(logits, len(p.event_shape))

    def debiased_mean(self, mean: Tensor) -> Tensor:
        if self.probability == 0.5:
            return mean  # nothing is left of it
        return ((mean - self.probability) / (1 - 2 * self.probability)).clamp(0, 1)

    def posterior_of_x(self, p: Distribution, seen: Tensor) -> Bernoulli:
        p = _expect(p, Bernoulli, "flipped bits", "likelihood=bernoulli")
        stays, turns = self._log_shares()
        return Bernoulli(p.logits + (2 * seen - 1) * (stays - turns), len(p.event_shape))

    def _log_shares(self) -> tuple[float, float]:
        """log probabilities that an element stays and that it turns."""
        return math.log1p(-self.probability), math.log(self.probability)


class SaltAndPepper(Corruption):
    """This probability of real-valued elements is replaced by zeros and ones at even odds.

    An element that is exactly zero or one is taken for a replaced one, and every other for true. Of binary elements
    this is `BitFlip` at half the probability.
    """

    takes = ("continuous",)
    known_is_true = True
    remark = "; replaced elements are not counted"

    def __init__(self, probability: float):
        _check_probability(probability)
        self.probability = probability

    def num_observed(self, corruption_noise: Tensor, shape: Sequence[int]) -> Tensor:
        return (corruption_noise < 0).flatten(1).sum(1)

    def draw(self, num: int, shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
        """-1 where the element stays, and else its new value."""
        u = torch.rand(num, *shape, generator=generator)
        return torch.where(
            u < self.probability, (2 * u < self.probability).to(torch.int8), torch.tensor(-1, dtype=torch.int8)
        )

    def apply(self, x: Tensor, corruption_noise: Tensor) -> Tensor:
        return torch.where(corruption_noise < 0, x, corruption_noise.to(x.dtype))

    def observed(self, seen: Tensor) -> Tensor:
        return seen.masked_fill((seen == 0) | (seen == 1), torch.nan)

    def observation_density(self, p: Distribution) -> Distribution:
        return _TrueElements(p, self.observed)

    def posterior_of_x(self, p: Distribution, seen: Tensor) -> Distribution:
        return ConditionalCompletion(p, self.observed(seen))


class _TrueElements(ObservedMarginal):
    """Those that were replaced have a mass that does not depend on z, and is left out."""

    def __init__(self, p: Distribution, observed: Callable[[Tensor], Tensor]):
        super().__init__(p)
        self.observed = observed

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(self.observed(value))


def _expect(p: Distribution, kind: type[D], what: str, choice: str) -> D:
    if not isinstance(p, kind):
        raise NotImplementedError(f"what {what} make of {type(p).__name__} is not known: choose {choice}")
    return p
