import pytest
import torch

from dgm_run.trainers.step_history import StepHistory


def make_history():
    history = StepHistory(3)
    for position, value in enumerate((1.0, 2.0, 6.0)):
        history.record(position, {"loss": torch.tensor(value), "elbo": torch.tensor(-value)})
    return history


def test_average_weighs_batches_by_size():
    means = make_history().average(torch.tensor([10.0, 10.0, 5.0]))
    assert means == pytest.approx({"loss": 60 / 25, "elbo": -60 / 25})


def test_average_of_an_unfinished_epoch():
    assert make_history().average(torch.tensor([10.0, 10.0]))["loss"] == pytest.approx(1.5)


def test_finds_first_step_that_is_not_finite():
    history = make_history()
    assert history.find_non_finite(3) is None
    history.record(1, {"loss": torch.tensor(1.0), "elbo": torch.tensor(float("nan"))})
    history.record(2, {"loss": torch.tensor(float("inf")), "elbo": torch.tensor(0.0)})
    assert history.find_non_finite(3) == 1
    assert history.find_non_finite(1) is None


def test_saved_history_is_restored():
    history = make_history()
    restored = StepHistory(3)
    restored.load_state_dict(history.state_dict(), torch.device("cpu"))
    assert torch.equal(restored.rows, history.rows)
    assert restored.names == ["loss", "elbo"]


def test_history_before_the_first_step_is_restored():
    restored = StepHistory(3)
    restored.load_state_dict(StepHistory(3).state_dict(), torch.device("cpu"))
    assert restored.rows is None
    assert restored.find_non_finite(1) is None
