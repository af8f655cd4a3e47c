"""Likelihoods that are computed exactly: the only error is the choice of the examples.

The population is known in closed form, or it has so few members that it is summed out.
"""

import itertools
import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.text import Sentences
from dgm_run.distributions.linear_gaussian import LinearGaussian
from dgm_run.distributions.vocabulary import END, PAD, Vocabulary
from dgm_run.estimators.base import Estimate, Estimator
from dgm_run.estimators.baselines.linear import LinearBaseline
from dgm_run.estimators.baselines.ngram import NgramBaseline
from dgm_run.estimators.likelihood.exact_likelihood import ExactLikelihood
from dgm_run.models.base import ExactModel
from dgm_run.models.corrupted import build_corrupted_model
from dgm_run.models.labelled.class_conditional import ClassConditional
from dgm_run.models.language_model import LanguageModel
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from dgm_run.models.linear.ppca import PPCA
from tests.coverage import Case, Truth
from tests.distributions.test_sentence import finished_sentences
from tests.models.energy.test_boltzmann import log_joint as boltzmann_log_joint
from tests.models.energy.test_boltzmann import make as make_boltzmann
from tests.models.energy.test_rbm import log_joint as rbm_log_joint
from tests.models.energy.test_rbm import make as make_rbm
from tests.models.test_autoregressive import everything
from tests.models.test_autoregressive import model as make_autoregressive
from tests.support import energy

DIM = 5
LOG_2_PI = math.log(2 * math.pi)
EXACT = ExactLikelihood(1000)


class StandardNormal(ExactModel):
    """N(0, I) over DIM dimensions."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * (x.square().sum(-1) + DIM * LOG_2_PI)

    def sample(self, n: int) -> Tensor:
        return torch.randn(n, DIM)


def repeat_standard_normal() -> tuple[Estimate, Truth]:
    data = DataSplit(torch.randn(40, DIM), None, to_float)
    found = EXACT(StandardNormal(), data)[0]
    return found, Truth(-0.5 * DIM * (1 + LOG_2_PI))


class Gaussian(NamedTuple):
    """The distribution of the data, N(mean, root root')."""

    mean: Tensor
    root: Tensor

    @property
    def covariance(self) -> Tensor:
        return self.root @ self.root.T

    def sample(self, n: int) -> DataSplit:
        noise = torch.randn(n, self.root.shape[1], dtype=torch.float64)
        return DataSplit(self.mean + noise @ self.root.T, None, lambda x: x)

    def expected_log_prob(self, mean: Tensor, covariance: Tensor) -> float:
        """The mean of log N(x; mean, covariance) over the data."""
        inverse, apart = torch.linalg.inv(covariance), self.mean - mean
        squares = (inverse @ self.covariance).trace() + apart @ inverse @ apart
        return (-0.5 * (squares + torch.logdet(covariance) + len(mean) * LOG_2_PI)).item()


@cache
def gaussian() -> Gaussian:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Gaussian(torch.randn(DIM, dtype=torch.float64), torch.randn(DIM, DIM, dtype=torch.float64))


@cache
def linear_model(kind: type[FactorAnalysis]) -> FactorAnalysis:
    """Fitted to 100 examples of `gaussian`."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        train = gaussian().sample(100)
        model = kind((DIM,), 2, 0.01, 0.0)
        model.initialize(train.batch(slice(None)))
    return model.eval()


def expected_under(p: LinearGaussian) -> float:
    """The mean of log p over `gaussian`, by the covariance written out."""
    return gaussian().expected_log_prob(p.bias, p.weight @ p.weight.T + torch.diag(p.log_var.exp()))


def linear_case(name: str, kind: type[FactorAnalysis]) -> Case:
    @torch.no_grad()
    def repeat() -> tuple[Estimate, Truth]:
        model = linear_model(kind)
        return EXACT(model, gaussian().sample(250))[0], Truth(expected_under(model.density))

    return Case(f"{name}, 250 examples", "exact", repeat)


@cache
def expected_with_missing_values(model: FactorAnalysis) -> float:
    """The mean of log p of the elements that are seen, each with probability one half."""
    p, total = model.density, 0.0
    covariance = p.weight @ p.weight.T + torch.diag(p.log_var.exp())
    for seen in itertools.product((False, True), repeat=DIM):
        at = torch.tensor(seen)
        part = Gaussian(gaussian().mean[at], gaussian().root[at])
        total += part.expected_log_prob(p.bias[at], covariance[at][:, at]) / 2**DIM
    return total


@torch.no_grad()
def repeat_with_holes() -> tuple[Estimate, Truth]:
    model, missing = linear_model(FactorAnalysis), MissingAtRandom(0.5)
    data = gaussian().sample(250)
    data.corrupt = missing
    data.corruption_noise = missing.draw(250, (DIM,))
    return EXACT(build_corrupted_model(model, missing), data)[0], Truth(expected_with_missing_values(model))


@cache
def linear_baseline() -> LinearBaseline:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        train = gaussian().sample(100)
    settings = {"latent_dim": 2, "min_scale": 0.0, "relative_min_scale": 1e-3, "tolerance": 1e-6, "max_steps": 500}
    return LinearBaseline(**settings).fit(nn.Identity(), train, train)


def baseline_case(index: int) -> Case:
    names = ("independent_columns", "ppca", "factor_analysis")

    @torch.no_grad()
    def repeat() -> tuple[Estimate, Truth]:
        density = linear_baseline().fits[index].density
        if isinstance(density, LinearGaussian):
            truth = expected_under(density)
        else:
            truth = gaussian().expected_log_prob(density.mean, torch.diag(density.variance))
        return linear_baseline()(nn.Identity(), gaussian().sample(250))[index], Truth(truth)

    return Case("normal, 250 examples", f"linear_baseline, {names[index]}", repeat)


def shares(num: int) -> Tensor:
    """Probabilities of the members of a population, (num,): far from equal."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(num, generator=generator, dtype=torch.float64).softmax(0)


def enumerated_case(
    name: str, estimator: str, make: Callable[[], tuple[nn.Module, Tensor]], settings: Callable[[], Estimator],
    quantity: str = "log_likelihood",
) -> Case:  # fmt: skip
    """A population of few members, which are drawn by `shares`.

    Args:
        name, estimator: as of a `Case`.
        make: the model and all members.
        settings: the estimator.
        quantity: that is looked at: log_likelihood or bits_per_dim.
    """
    made, built = cache(make), cache(settings)

    @torch.no_grad()
    def repeat() -> tuple[Estimate, Truth]:
        with torch.random.fork_rng():
            model, x = made()
        p = shares(len(x))
        data = DataSplit(x[p.multinomial(250, replacement=True)], None, lambda values: values)
        (found,) = (row for row in built()(model, data) if row.quantity == quantity)
        truth = (p * model.log_prob(x).double()).sum().item()
        if quantity == "bits_per_dim":
            truth /= -math.log(2) * x[0].numel()
        return found, Truth(truth)

    return Case(f"{name}, 250 examples", estimator, repeat)


def autoregressive() -> tuple[nn.Module, Tensor]:
    return make_autoregressive("mlp", "[1,2,3]"), everything((1, 2, 3))


def class_conditional() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(4)
    x, y = 2 * torch.randn(40, 1, 1, DIM, dtype=torch.float64), torch.arange(40) % 3
    model = ClassConditional(3, lambda: PPCA((1, 1, DIM), 2, 0.01, 0.0)).double()
    model.initialize(x)
    statistics = model.compute_statistics(DataSplit(x, y, lambda values: values))
    for _ in range(5):
        model.em_step(statistics)
    return model.eval(), x


def enumerated_energy(
    make: Callable[[], nn.Module], log_joint: Callable[[nn.Module], np.ndarray]
) -> tuple[nn.Module, Tensor]:  # fmt: skip
    """An energy model and all x, with log p(x) by the energies of all states."""
    model = make()
    log_f = torch.tensor(log_joint(model)).logsumexp(1)
    model.log_prob = lambda x: log_f - log_f.logsumexp(0)
    return model, energy.visible_states(model)


def energy_likelihood() -> Estimator:
    return instantiate(compose("model=rbm", "estimators=[energy]").estimators)["energy"]


WORDS = Vocabulary(["a", "b"])


@cache
def language_model() -> tuple[LanguageModel, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LanguageModel((4,), 6, 4, 5, "lstm", "words", 0.0).double().eval()
        return model, torch.tensor([*finished_sentences(4)])


def draw_sentences(num: int) -> Sentences:
    _, rows = language_model()
    return Sentences(rows[shares(len(rows)).multinomial(num, replacement=True)], WORDS)


def perplexity(log_p: Tensor) -> float:
    """Returns the perplexity of the population from log p of each sentence."""
    _, rows = language_model()
    p = shares(len(rows))
    return math.exp(-(p * log_p).sum() / (p * (rows != PAD).sum(1)).sum())


@torch.no_grad()
def repeat_language_model() -> tuple[Estimate, Truth]:
    model, rows = language_model()
    found = EXACT(model, draw_sentences(80))[1]
    return found, Truth(perplexity(model.log_prob(rows.double())))


@cache
def ngrams() -> NgramBaseline:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        train = draw_sentences(200)
    return NgramBaseline(2, 0.75).fit(nn.Identity(), train, train)


def repeat_ngrams() -> tuple[Estimate, Truth]:
    found = ngrams()(nn.Identity(), draw_sentences(80))[1]
    _, rows = language_model()
    ended = [row[: row.index(END) + 1] for row in rows.tolist()]
    log_p = torch.tensor([ngrams().models[1].log_prob(row) for row in ended], dtype=torch.float64)
    return found, Truth(perplexity(log_p))


CASES = [
    Case("normal, 40 examples", "exact", repeat_standard_normal),
    linear_case("factor analysis", FactorAnalysis),
    linear_case("PPCA", PPCA),
    Case("factor analysis of half the elements, 250 examples", "exact", repeat_with_holes),
    *(baseline_case(index) for index in range(3)),
    enumerated_case("autoregressive", "exact", autoregressive, lambda: EXACT),
    enumerated_case("autoregressive", "exact, bits per dimension", autoregressive, lambda: EXACT, "bits_per_dim"),
    enumerated_case("class-conditional PPCA", "exact", class_conditional, lambda: EXACT),
    *(
        enumerated_case(name, "energy, log Z enumerated", partial(enumerated_energy, *of_model), energy_likelihood)
        for name, of_model in (
            ("RBM, 6 + 3 units", (make_rbm, rbm_log_joint)),
            ("Boltzmann machine, 4 units", (make_boltzmann, boltzmann_log_joint)),
        )
    ),
    Case("language model, 80 sentences", "exact, perplexity", repeat_language_model),
    Case("2-gram, 80 sentences", "exact, perplexity", repeat_ngrams),
]
