import pytest
import torch

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.parallel_tempering import ParallelTempering
from tests.models.energy.test_rbm import make
from tests.support import energy

NUM_CHAINS = 60_000


def tempering(num_temperatures, num_chains=NUM_CHAINS):
    return ParallelTempering(Exact(20), 0.0, None, None, None, 0.0, num_temperatures, num_chains)


@pytest.mark.parametrize("num_temperatures", [2, 3, 4])
def test_step_keeps_chain_densities(num_temperatures):
    torch.manual_seed(0)
    model, objective = make(torch.float32), tempering(num_temperatures)
    every = energy.visible_states(model)
    betas = torch.linspace(0, 1, num_temperatures).tolist()
    p = [energy.probabilities(model, beta) for beta in betas]
    chains = torch.cat([every[torch.multinomial(each, NUM_CHAINS, replacement=True)] for each in p])
    state, x = {"chains": chains}, every[:2]
    with torch.no_grad():
        found = objective.phases(model, x, model.preactivations(x), Progress(torch.tensor(0.0), state))
    for draws, each in zip(state["chains"].split(NUM_CHAINS), p, strict=True):
        energy.check_follows(draws, each)
    assert torch.equal(found.states[2:], state["chains"][-NUM_CHAINS:])
    torch.testing.assert_close(found.preactivations[2:], model.preactivations(found.states[2:]).detach())


def test_states_cross_all_temperatures():
    torch.manual_seed(0)
    model, objective = make(torch.float32), tempering(4, 2000)
    with torch.no_grad():
        model.weight.zero_()
        model.visible_bias.copy_(model.base_logits)  # then every exchange is accepted
    every = energy.visible_states(model)
    chains = every[torch.arange(4).repeat_interleave(2000)]  # told apart by temperature
    with torch.no_grad():
        betas, preactivations = torch.linspace(0, 1, 4), model.preactivations(chains)
        first = objective._exchange(model, chains, preactivations, betas, 0).view(4, -1) // 2000
        second = objective._exchange(model, chains, preactivations, betas, 1).view(4, -1) // 2000
    assert first[:, 0].tolist() == [1, 0, 3, 2]
    assert second[:, 0].tolist() == [0, 2, 1, 3]


def test_exchange_rate_is_metropolis():
    torch.manual_seed(0)
    model, objective = make(torch.float32), tempering(2)
    every = energy.visible_states(model)
    hot, cold = (every[[row]].expand(NUM_CHAINS, 1, 2, 3) for row in (50, 5))
    v, betas = torch.cat([hot, cold]), torch.tensor([0.0, 1.0])
    with torch.no_grad():
        order = objective._exchange(model, v, model.preactivations(v), betas, first=0)
    f0, f1 = energy.log_f(model, 0.0), energy.log_f(model, 1.0)
    p = min(1.0, (f1[50] + f0[5] - f0[50] - f1[5]).exp().item())
    swapped = (order[:NUM_CHAINS] >= NUM_CHAINS).float().mean().item()
    assert 0.01 < p < 0.99
    assert abs(swapped - p) < 5 * (p * (1 - p) / NUM_CHAINS) ** 0.5
    assert torch.equal(order.sort().values, torch.arange(2 * NUM_CHAINS))  # every state is kept


def test_chains_fill_each_temperature():
    model = make()
    assert tempering(3, 5).init_state(model, energy.visible_states(model))["chains"].shape == (15, 1, 2, 3)


@pytest.mark.parametrize(("settings", "message"), [((1, 5), "objective=pcd"), ((2, 0), "num_chains = 0")])
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tempering(*settings)
