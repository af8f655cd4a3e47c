"""Rates, areas, distances and restored elements, whose population is known in closed form or by very many draws."""

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import MissingHalf
from dgm_run.data.data_split import DataSplit
from dgm_run.data.sources.gaussian_mixture import GaussianMixture
from dgm_run.estimators.base import Estimate
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.imputation import Imputation
from dgm_run.estimators.labels.classification import _estimate_calibration, _estimate_selective_error, estimate_error
from dgm_run.estimators.likelihood.parzen import Parzen
from dgm_run.estimators.likelihood.pseudo_likelihood import PseudoLikelihood
from dgm_run.estimators.ood.out_of_distribution import OutOfDistribution, auroc
from dgm_run.estimators.repeats import average_repeats
from dgm_run.estimators.samples.features import Features
from dgm_run.estimators.samples.modes import Modes
from dgm_run.estimators.samples.sample_quality import (
    FeatureBatch,
    SampleQuality,
    TrainReference,
    _measure_nearest_train,
)
from dgm_run.models.base import ExactModel
from tests.coverage import Case, Truth
from tests.coverage.exact import shares
from tests.models.energy.test_rbm import make as make_rbm
from tests.objectives.energy.test_pseudo_likelihood import exact_pseudo_likelihood
from tests.support import energy, truth


def identity(x: Tensor) -> Tensor:
    return x


def error_case(num: int, share: float) -> Case:
    def repeat() -> tuple[Estimate, Truth]:
        return estimate_error("error", (torch.rand(num) < share).double(), "q(y|x)"), Truth(100 * share)

    return Case(f"{share:.0%} wrong of {num}", "classification, error", repeat)


def declined_case(index: int, name: str, population: float) -> Case:
    """Decisions whose certainty u is uniform, and which are wrong with probability 0.4 (1 - u)^2."""

    def repeat() -> tuple[Estimate, Truth]:
        certainty = torch.rand(300, dtype=torch.float64)
        wrong = (torch.rand(300) < 0.4 * (1 - certainty).square()).double()
        return _estimate_selective_error(certainty, wrong, "q(y|x)")[index], Truth(100 * population)

    return Case("scores with known risk, 300", f"classification, {name}", repeat)


def repeat_calibration() -> tuple[Estimate, Truth]:
    sure = torch.where(torch.rand(300) < 0.5, 0.7, 0.9).double()
    wrong = (torch.rand(300) > sure - 0.1).double()
    return _estimate_calibration(sure, wrong, "q(y|x)"), Truth(0.1)


class Sloped(ExactModel):
    """A density over images, up to a constant, which prefers dark ones."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.flatten(1).square().sum(1)

    def sample(self, n: int) -> Tensor:
        return math.sqrt(0.5) * torch.randn(n, *PIXELS)


PIXELS = (1, 2, 2)


@cache
def true_area(is_inverted: bool) -> float:
    with torch.random.fork_rng():
        torch.manual_seed(6)
        x, model = dark(1_000_000), Sloped()
        other = 1 - x if is_inverted else torch.rand_like(x)
    return auroc(model.log_prob(x), model.log_prob(other))


def dark(num: int) -> Tensor:
    return torch.rand(num, *PIXELS, dtype=torch.float64) ** 1.5


def area_case(name: str, num: int) -> Case:
    settings = {"dataset": None, "num_examples": 1000, "num_samples": 1, "max_batch_rows": 1000, "mutation_rate": 0.2}

    def repeat() -> tuple[Estimate, Truth]:
        data = DataSplit(dark(num), None, identity)
        estimator = OutOfDistribution([name], **settings).fit(Sloped(), data, data)
        return estimator(Sloped(), data)[0], Truth(true_area(name == "inverted"))

    return Case(f"dark images, {name}, {num}", "out_of_distribution", repeat)


class Ring(nn.Module):
    """Samples of a mixture whose modes are three halves as wide as they should be."""

    source = GaussianMixture("ring", 8, 2.0, 0.02, 10, 10, 10, 0)

    def sample(self, n: int) -> Tensor:
        means = self.source.means[torch.randint(8, (n,))]
        return means + 1.5 * self.source.scale * torch.randn(n, 2)


def repeat_modes() -> tuple[Estimate, Truth]:
    found = Modes(Ring.source, 200)(Ring(), None)[1]
    return found, Truth(-math.expm1(-0.5 * (3 / 1.5) ** 2))  # of a Rayleigh distribution


def pseudo_likelihood_case(num_flips: int | None, repeats: int = 1) -> Case:
    exact = cache(lambda: torch.tensor([exact_pseudo_likelihood(make_rbm(), row) for row in range(64)]).double())

    def repeat() -> tuple[Estimate, Truth]:
        with torch.random.fork_rng():
            model, values = make_rbm(), exact()
        x, p = energy.visible_states(model), shares(64)
        rows = p.multinomial(100, replacement=True)
        estimator, data = PseudoLikelihood(num_flips, 1000), DataSplit(x[rows], None, identity)
        (found,) = average_repeats([estimator(model, data) for _ in range(repeats)], seed=0)
        on_these = values[rows].mean().item() if num_flips else None
        return found, Truth((p * values).sum().item(), on_these)

    flips = f"{num_flips} flips" if num_flips else "all pixels"
    flips += f", {repeats} repeats" if repeats > 1 else ""
    return Case("RBM, 6 + 3 units, 100 examples", f"pseudo_likelihood, {flips}", repeat)


class Half(MissingHalf):
    """The right half of a vector too."""

    def check(self, shape: tuple[int, ...]) -> None:
        pass


@cache
def imputation() -> Imputation:
    with torch.random.fork_rng():
        model = truth.factor_analysis()
        train = DataSplit(model.sample(500).double(), None, identity)
        return Imputation({"half": Half("right")}, {"exact": Exact()}, 100, 2, 100).fit(model, train, train)


def imputation_case(method: str) -> Case:
    """The right half of six elements is restored."""

    def repeat() -> tuple[Estimate, Truth]:
        with torch.random.fork_rng():
            model = truth.factor_analysis()
        rows = imputation()(model, DataSplit(model.sample(100).double(), None, identity))
        (found,) = (row for row in rows if row.quantity == "mse_half" and row.estimator == method)
        x_tilde = np.array([0.0, 0.0, 0.0, np.nan, np.nan, np.nan])
        _, covariance, _ = truth.compute_conditional(model, x_tilde)
        left = np.diag(covariance)[3:].mean()
        if method == "mean":
            mean = model.bias.detach()
            whole = model.weight.square().sum(1) + model.density.log_var.exp()
            left = (whole + (imputation().baseline.mean.flatten() - mean).square())[3:].mean().item()
        return found, Truth(float(left))

    return Case("factor analysis, 100 examples", f"imputation, {method}", torch.no_grad()(repeat))


WIDTH = 0.4


@cache
def parzen_truth() -> float:
    """The mean over 100 kernels and examples, of 2,000 sets of both."""
    with torch.random.fork_rng():
        torch.manual_seed(8)
        total = 0.0
        for _ in range(2_000):
            squares = torch.cdist(torch.randn(200, 2), torch.randn(100, 2)).square()
            total += (-squares / (2 * WIDTH**2)).logsumexp(1).mean().item()
        return total / 2_000 - math.log(100) - math.log(2 * math.pi * WIDTH**2)


def repeat_parzen() -> tuple[Estimate, Truth]:
    parzen, x = Parzen(100, 50, 0.3, 0.5, 2, scale=WIDTH), torch.randn(200, 2)
    return parzen(Normal(0.0, 1.0), DataSplit(x, None, identity))[0], Truth(parzen_truth())


class Normal(nn.Module):
    """Samples of N(mean, scale^2) over two dimensions."""

    def __init__(self, mean: float, scale: float):
        super().__init__()
        self.mean, self.scale = mean, scale

    def sample(self, n: int) -> Tensor:
        return self.mean + self.scale * torch.randn(n, 2)


NUM_EXPECTED = 300


@cache
def sample_quality() -> SampleQuality:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        train = torch.randn(400, 2)
    weight = torch.tensor([[2.0, -1.0, 0.0], [0.0, 1.0, -2.0]])
    features = Features(lambda x: x, torch.zeros(2), torch.ones(2), lambda x: x @ weight)
    return SampleQuality(300, "classifier", 0, 5, 1, False, TrainReference(features, train, train.double()))


@cache
def compare_samples(seed: int) -> dict[str, Estimate]:
    """The rows of one evaluation, which all cases share, without the floors: the first case takes the time of all."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        x, y = torch.randn(300, 2), Normal(1.0, 1.0).sample(300)
        data, samples = FeatureBatch(x, x.double()), FeatureBatch(y, y.double())
        reference = sample_quality().reference
        assert reference is not None
        rows = sample_quality()._compare(data, samples, reference.features) | _measure_nearest_train(samples, reference)
    return {
        name: Estimate(name, "sample_quality", "estimate", num_examples=300, **row._asdict())
        for name, row in rows.items()
    }


@cache
def average_estimates(quantity: str) -> float:
    """The mean of what samples of this size find."""
    return sum(compare_samples(seed)[quantity].value for seed in range(NUM_EXPECTED)) / NUM_EXPECTED


def quality_case(quantity: str) -> Case:
    def repeat() -> tuple[Estimate, Truth]:
        return compare_samples(torch.initial_seed())[quantity], Truth(average_estimates(quantity))

    return Case("two normals, 300 of each", f"sample_quality, {quantity}", repeat)


def risk_at_90() -> float:
    return 0.4 * 0.9**3 / 3 / 0.9


def mean_risk() -> float:
    return 0.4 / 3 / 3


CASES: list[Case] = [
    *(error_case(num, share) for num, share in ((360, 0.01), (360, 0.1), (50, 0.3))),
    declined_case(0, "error_at_90_percent", risk_at_90()),
    declined_case(1, "error_over_coverages", mean_risk()),
    Case("known gap, 300", "classification, calibration_error", repeat_calibration),
    *(area_case(name, num) for name, num in (("inverted", 100), ("noise", 200))),
    Case("ring of eight, 200 samples", "modes, high_quality", repeat_modes),
    *(pseudo_likelihood_case(*settings) for settings in ((None, 1), (3, 1), (3, 4))),
    *map(imputation_case, ("exact", "mean")),
    Case("kernels around 100 samples, 200 examples", "parzen", repeat_parzen),
    *map(
        quality_case,
        ("kid", "mmd", "precision", "recall", "density", "coverage", "nearest_train", "classifier_score", "class_kl"),
    ),
]
