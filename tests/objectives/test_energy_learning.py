"""Objectives reach the known best value of small problems."""

import pytest
import torch

from dgm_run.data.sources.bars_and_stripes import BarsAndStripes
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.dbm import DBM
from dgm_run.models.energy.rbm import RBM
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.contrastive_divergence import ContrastiveDivergence
from dgm_run.objectives.energy.exact_likelihood import ExactLikelihood
from dgm_run.objectives.energy.fast_persistent_contrastive_divergence import FastPersistentContrastiveDivergence
from dgm_run.objectives.energy.parallel_tempering import ParallelTempering
from dgm_run.objectives.energy.persistent_contrastive_divergence import PersistentContrastiveDivergence
from dgm_run.objectives.energy.pseudo_likelihood import PseudoLikelihood
from tests.models.energy import test_dbm
from tests.support import energy

pytestmark = pytest.mark.slow
SHARED = (Exact(20), 0.0, None, 0.01, None, 0.0)  # log Z, weight decay, max-norm, centering rate, sparsity
OBJECTIVES = {  # the least log-likelihood on bars and stripes of 3 x 3, of at most -2.599
    "exact": (ExactLikelihood(*SHARED), -2.72),
    "pcd": (PersistentContrastiveDivergence(*SHARED, 1, 100), -3.2),
    "fast_pcd": (FastPersistentContrastiveDivergence(*SHARED, 1, 100, 0.05, 0.95), -3.2),
    "parallel_tempering": (ParallelTempering(*SHARED, 10, 100), -3.2),
    "cd": (ContrastiveDivergence(*SHARED, 1, None), -3.2),
    "pseudo_likelihood": (PseudoLikelihood(*SHARED, 5), -3.2),
}


def train(model, objective, batches, lr, num_steps):
    """Plain stochastic gradient descent, its rate falling to zero."""
    state = objective.init_state(model, batches(0))
    for step in range(num_steps):
        loss, _ = objective(model, batches(step), Progress(torch.tensor(0.0), state))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter.sub_(gradient, alpha=lr * (1 - step / num_steps))


def log_p(model, x):
    return (-model.free_energy(x) - model.log_partition()).mean().item()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bars_and_stripes(name):
    objective, least = OBJECTIVES[name]
    torch.manual_seed(0)
    x = BarsAndStripes(3)().train.x.float()
    model = RBM(x.shape[1:], 9, init_scale=0.1, visible_bias="logit_mean")
    model.initialize(x)
    train(model, objective, lambda step: x, lr=0.2, num_steps=5000)
    assert least <= log_p(model, x) <= -2.599


def test_dbm_learns_bars_and_stripes():
    """Centered, by mean field and persistent chains, without layers trained before; exact by enumeration."""
    torch.manual_seed(0)
    x = BarsAndStripes(3)().train.x.float()
    model = DBM(x.shape[1:], [9, 6], init_scale=0.1, visible_bias="logit_mean", mean_field_steps=10)
    model.initialize(x)
    train(model, PersistentContrastiveDivergence(*SHARED, 1, 100), lambda step: x, lr=0.2, num_steps=10_000)
    log_f = torch.tensor(test_dbm.log_f_of_pixels(model))
    exact = log_f.log_softmax(0)[energy.index_of(x)].mean().item()
    bound = (-model.free_energy(x) - model.log_partition()).mean().item()
    assert exact == pytest.approx((log_f[energy.index_of(x)] - model.log_partition()).mean().item(), abs=1e-3)
    assert -3.2 <= exact <= -2.599
    assert exact - 0.1 <= bound <= exact


@pytest.mark.parametrize("name", ["pcd", "cd"])
def test_student_learns_teacher_density(name):
    torch.manual_seed(0)
    teacher = RBM((8,), 4, init_scale=3.0, visible_bias="zero")
    with torch.no_grad():  # biases that leave every unit undecided on its own
        teacher.visible_bias.copy_(-0.5 * teacher.weight.sum(1))
        teacher.hidden_bias.copy_(-0.5 * teacher.weight.sum(0))
    every = energy.visible_states(teacher)
    p = energy.probabilities(teacher)
    x = every[torch.multinomial(p, 100_000, replacement=True)]
    student = RBM((8,), 4, init_scale=0.1, visible_bias="logit_mean")
    student.initialize(x)
    objective = {
        "pcd": PersistentContrastiveDivergence(*SHARED, 5, 200),
        "cd": ContrastiveDivergence(*SHARED, 10, None),
    }[name]
    train(student, objective, lambda step: x[torch.randint(len(x), (200,))], lr=0.1, num_steps=10_000)
    gap = (p * (p.log() - energy.log_f(student).log_softmax(0))).sum().item()
    independent = (p * (p.log() - student.log_baseline(every))).sum().item()
    assert gap < 0.05
    assert independent > 1
