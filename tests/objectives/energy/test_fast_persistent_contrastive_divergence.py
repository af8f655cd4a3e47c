import copy

import pytest
import torch

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.fast_persistent_contrastive_divergence import FastPersistentContrastiveDivergence
from tests.models.energy.test_rbm import make
from tests.support import energy


def fast_pcd(num_steps=2, num_chains=5, fast_lr=0.1, fast_decay=0.9):
    return FastPersistentContrastiveDivergence(
        Exact(20), 0.0, None, None, None, 0.0, num_steps, num_chains, fast_lr, fast_decay
    )


def test_chains_use_fast_parameters():
    model, objective = make(), fast_pcd()
    x = energy.visible_states(model)[:4]
    state = objective.init_state(model, x)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            state[f"fast_{name}"].normal_()
            parameter.add_(state[f"fast_{name}"])
    start = state["chains"].clone()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    objective(model, x, Progress(torch.tensor(0.0), state))
    torch.manual_seed(1)
    with torch.no_grad():
        expected, _ = moved.gibbs(start, 2)
    assert torch.equal(state["chains"], expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fast_parameters_follow_and_decay():
    model, objective = make(), fast_pcd(fast_lr=0.5, fast_decay=0.8)
    x = energy.visible_states(model)[:4]
    state = objective.init_state(model, x)
    with torch.no_grad():
        for name, _ in model.named_parameters():
            state[f"fast_{name}"].normal_()
    before = {name: value.clone() for name, value in state.items()}
    loss, _ = objective(model, x, Progress(torch.tensor(0.0), state))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    surrogate = model.free_energy(x).mean() - model.free_energy(state["chains"]).mean()
    expected = torch.autograd.grad(surrogate, list(model.parameters()))
    for (name, _), found, value in zip(model.named_parameters(), gradients, expected, strict=True):
        torch.testing.assert_close(found, value)
        torch.testing.assert_close(state[f"fast_{name}"], 0.8 * before[f"fast_{name}"] - 0.5 * value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_steps": 0}, "positive"), ({"num_chains": 0}, "positive"), ({"fast_decay": 1.0}, "fast_decay")],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fast_pcd(**settings)
