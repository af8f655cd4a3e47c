import torch
from torch import nn

from dgm_run.trainers.ema import EMA
from dgm_run.trainers.state import TrainingState


def state(ema=False):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    return TrainingState(model, optimizer, schedule, EMA(model, 0.9) if ema else None, {0: {"chains": torch.zeros(4)}})


def train(s, steps):
    for _ in range(steps):
        s.memory[0]["chains"] += torch.arange(4.0)
        s.model(torch.ones(1, 3)).sum().backward()
        s.optimizer.step()
        s.optimizer.zero_grad()
        s.schedule.step()
        s.record(s.step % 2, 2, {"loss": torch.tensor(1.0), "elbo": torch.tensor(-1.0)})
        s.step += 1
        if s.ema:
            s.ema.update(s.step)


def test_saved_state_resumes_exactly():
    torch.manual_seed(0)
    whole = state(ema=True)
    first = {name: value.clone() for name, value in whole.model.state_dict().items()}
    train(whole, 5)
    saved_weights = {name: value.clone() for name, value in whole.model.state_dict().items()}
    import copy

    saved = copy.deepcopy(whole.state_dict(1))
    train(whole, 4)
    resumed = state(ema=True)
    assert not torch.equal(resumed.model.weight, first["weight"])
    resumed.load(saved_weights, saved, takes_history=True)
    train(resumed, 4)
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert torch.equal(resumed.ema.average[0], whole.ema.average[0])
    assert resumed.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]
    assert torch.equal(resumed.history, whole.history)
    assert torch.equal(resumed.memory[0]["chains"], whole.memory[0]["chains"])
    assert resumed.names == ["loss", "elbo"]


def test_weight_that_not_finite_noticed():
    s = state()
    assert s.has_finite_weights()
    with torch.no_grad():
        s.model.bias[0] = float("inf")
    assert not s.has_finite_weights()


def test_evaluated_weights_copy_of_average():
    s = state(ema=True)
    s.ema.average[0].fill_(3.0)
    weights = s.copy_evaluation_weights()
    assert (weights["weight"] == 3.0).all()
    s.ema.average[0].zero_()
    assert (weights["weight"] == 3.0).all()
