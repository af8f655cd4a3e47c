"""Likelihoods of energy models by annealed importance sampling, log Z and population known by enumeration.

The temperatures are few, so that the chains carry very unequal weights. The data come from the same kind of model with
half of its weights: they fit it neither well nor not at all.
"""

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
from scipy.special import logsumexp
from torch import Tensor

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.base import Estimate
from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.energy_likelihood import EnergyLikelihood
from dgm_run.estimators.likelihood.reverse_ais import RAISE
from dgm_run.models.energy.base import EnergyModel, UnnormalizedModel
from tests.coverage import Case, Truth
from tests.models.energy import test_boltzmann, test_dbm, test_dbn, test_gaussian_rbm, test_rbm, test_subspace_rbm
from tests.support import energy

NUM_EXAMPLES = 100


def scale_weights(model: EnergyModel, factor: float) -> EnergyModel:
    """A copy with other weights; biases stay."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "weight" in name:
                value.mul_(factor)
    return model


def log_p_of_binary(model: EnergyModel) -> Tensor:
    """log p(x) of all x, by enumeration, (2^D,)."""
    return energy.log_f(model).log_softmax(0)


def of_known(
    model: UnnormalizedModel,
    log_p: Tensor,
    log_p_data: Tensor,
    ais: AIS,
    raise_: RAISE | None,
    quantity: str,
    num_samples: int = 1,
) -> Callable[[], tuple[Estimate, Truth]]:
    """Repeats an evaluation on draws from a known distribution over all binary x."""
    x = energy.visible_states(model)
    population = (log_p_data.exp() @ log_p).item()

    def repeat() -> tuple[Estimate, Truth]:
        index = torch.multinomial(log_p_data.exp(), NUM_EXAMPLES, replacement=True)
        data = DataSplit(x[index], None, lambda values: values)
        rows = EnergyLikelihood(ais, raise_, num_samples, 10_000)(model, data)
        found = next(row for row in rows if row.quantity == quantity)
        return found, Truth(population, log_p[index].mean().item())

    return repeat


def of_gaussian(model: EnergyModel, ais: AIS) -> Callable[[], tuple[Estimate, Truth]]:
    """Repeats an evaluation of a Gaussian model on draws of a normal distribution."""
    log_z, scale = model.log_partition().item(), 1.5

    def log_p(x: Tensor) -> Tensor:
        return torch.tensor(logsumexp(test_gaussian_rbm.log_joint(model, x.flatten(1).numpy()), axis=1)) - (
            log_z + model.data_scale.double().log().sum()
        )

    many = scale * torch.randn(1_000_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    population = log_p(many).mean().item()

    def repeat() -> tuple[Estimate, Truth]:
        x = scale * torch.randn(NUM_EXAMPLES, 2, 1, dtype=torch.float64)
        found = EnergyLikelihood(ais, None, 1, 10_000)(model, DataSplit(x, None, lambda values: values))[0]
        return found, Truth(population, log_p(x).mean().item())

    return repeat


def _log_z_of(repeat: Callable[[], tuple[Estimate, Truth]], truth: float) -> tuple[Estimate, Truth]:
    return repeat()[0], Truth(None, truth)


def _deep_cases() -> list[Case]:
    """Returns the cases whose hidden units cannot be summed out: every example has draws of its own."""
    dbm, dbn = scale_weights(test_dbm.make(), 2.0), test_dbn.make()
    of_dbm = torch.tensor(test_dbm.log_f_of_pixels(dbm)).log_softmax(0)
    of_dbn = torch.tensor(test_dbn.log_p(dbn))
    cases = []
    for name, model, log_p, num_samples in (("DBM", dbm, of_dbm, 20), ("DBN", dbn, of_dbn, 200)):
        even = torch.full_like(log_p, -math.log(len(log_p)))
        repeat = of_known(model, log_p, even, AIS(100, 10, "adaptive"), None, "log_likelihood", num_samples)
        cases.append(Case(name, f"AIS, 10 temperatures, {num_samples} draws of the hidden units", repeat))
    return cases


def _cases() -> list[Case]:
    cases = []
    made = {"RBM": test_rbm.make(), "subspace RBM": test_subspace_rbm.make(), "Boltzmann": test_boltzmann.make()}
    for name, whole in made.items():
        for factor, num in ((1.0, 10), (2.0, 40), (3.0, 40), (4.0, 100)):
            model = scale_weights(whole, factor)
            log_p, log_p_data = log_p_of_binary(model), log_p_of_binary(scale_weights(model, 0.5))
            repeat = of_known(model, log_p, log_p_data, AIS(100, num, "adaptive"), None, "log_likelihood")
            cases.append(Case(f"{name}, weights × {factor:g}", f"AIS, {num} temperatures", repeat))
            if factor == 4.0:
                to_target = AIS(100, 10, "adaptive", target_stderr=0.1, max_num_temperatures=640)
                repeat = of_known(model, log_p, log_p_data, to_target, None, "log_partition")
                log_z = partial(_log_z_of, repeat, model.log_partition().item())
                cases.append(
                    Case(f"{name}, weights × {factor:g}", "log Z by AIS, 10 to 640 temperatures, to 0.1", log_z)
                )
            if name == "RBM":
                repeat = of_known(model, log_p, log_p_data, AIS(100, num, "linear"), None, "log_partition")
                log_z = partial(_log_z_of, repeat, model.log_partition().item())
                cases.append(Case(f"{name}, weights × {factor:g}", f"log Z by AIS, {num} linear temperatures", log_z))
    gaussian = test_gaussian_rbm.make()
    cases.append(Case("Gaussian RBM", "AIS, 10 temperatures", of_gaussian(gaussian, AIS(100, 10, "adaptive"))))
    return cases + _deep_cases()


CASES = _cases()
