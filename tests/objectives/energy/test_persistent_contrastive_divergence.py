import pytest
import torch

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.persistent_contrastive_divergence import PersistentContrastiveDivergence
from tests.models.energy.test_rbm import make
from tests.support import energy


def pcd(num_steps=1, num_chains=5):
    return PersistentContrastiveDivergence(Exact(20), 0.0, None, None, None, 0.0, num_steps, num_chains)


def test_chains_go_on_from_where_they_were():
    model, objective = make(), pcd(num_steps=2)
    x = energy.visible_states(model)[:4]
    torch.manual_seed(0)
    state = objective.init_state(model, x)
    start = state["chains"].clone()
    torch.manual_seed(1)
    objective(model, x, Progress(torch.tensor(0.0), state))
    torch.manual_seed(1)
    with torch.no_grad():
        expected, _ = model.gibbs(start, 2)
    assert torch.equal(state["chains"], expected)


def test_chains_start_from_the_base():
    model = make(torch.float32)
    chains = pcd(num_chains=20_000).init_state(model, energy.visible_states(model))["chains"]
    energy.check_follows(chains, energy.probabilities(model, 0.0))


def test_gradient_contrasts_chains():
    model, objective = make(), pcd(num_chains=3)
    x = energy.visible_states(model)[:7]
    state = objective.init_state(model, x)
    loss, _ = objective(model, x, Progress(torch.tensor(0.0), state))
    found = torch.autograd.grad(loss, list(model.parameters()))
    surrogate = model.free_energy(x).mean() - model.free_energy(state["chains"]).mean()
    for value, expected in zip(found, torch.autograd.grad(surrogate, list(model.parameters())), strict=True):
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("settings", [(0, 5), (1, 0)])
def test_no_sweep_or_no_chain_is_refused(settings):
    with pytest.raises(ValueError, match="must be positive"):
        pcd(*settings)
