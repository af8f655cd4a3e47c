import pytest
import torch
from torch import nn

from dgm_run.trainers.ema import EMA


def test_the_average_ramps_up_and_then_follows_its_decay():
    model = nn.Linear(1, 1, bias=False)
    ema = EMA(model, 0.5)
    expected = model.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        torch.testing.assert_close(ema.average[0], expected)


def test_average_is_applied_in_the_block():
    model = nn.Linear(2, 2)
    ema = EMA(model, 0.9)
    before = model.weight.detach().clone()
    ema.average[0].zero_()
    with ema.apply():
        assert model.weight.abs().sum() == 0
    assert torch.equal(model.weight, before)
    assert ema.average[0].abs().sum() == 0


def test_saved_averages_come_back():
    first, second = EMA(nn.Linear(2, 2), 0.9), EMA(nn.Linear(2, 2), 0.9)
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.average, second.average, strict=True))


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0])
def test_decay_outside_zero_and_one_refused(decay):
    with pytest.raises(ValueError, match=r"must lie between 0 and 1"):
        EMA(nn.Linear(1, 1), decay)
