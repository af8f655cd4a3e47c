import pytest
import torch

from dgm_run.trainers.momentum import LinearWithMomentum


def make(optimizer=torch.optim.SGD, **settings):
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    return LinearWithMomentum(optimizer(parameters, lr=0.2, **settings), total_iters=10, low_momentum=0.5, low_epochs=3)


def advance(schedule):
    group = schedule.optimizer.param_groups[0]
    found = (group["lr"], group["momentum"])
    schedule.optimizer.step()
    schedule.step()
    return found


def test_momentum_rises_as_the_rate_falls():
    schedule = make(momentum=0.9)
    rates, momenta = zip(*[advance(schedule) for _ in range(11)], strict=True)
    assert rates == pytest.approx([0.2 * (1 - epoch / 10) for epoch in range(11)])
    assert momenta == (0.5,) * 3 + (0.9,) * 8


def test_resumed_schedule_continues_where_it():
    whole, resumed = make(momentum=0.9), make(momentum=0.9)
    for _ in range(2):
        advance(whole)
    resumed.optimizer.load_state_dict(whole.optimizer.state_dict())
    resumed.load_state_dict(whole.state_dict())
    assert [advance(resumed) for _ in range(5)] == [advance(whole) for _ in range(5)]


def test_optimizer_without_momentum_refused():
    with pytest.raises(ValueError, match="Adam has no momentum to schedule: choose optimizer=sgd"):
        make(torch.optim.Adam)
