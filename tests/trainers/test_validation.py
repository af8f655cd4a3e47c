import torch
from torch import nn

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.objectives.base import Objective
from dgm_run.trainers.validation import validate


class Mean(Objective):
    """Objective whose term is the mean of the batch; it remembers the mode of the model."""

    def __call__(self, model, x, progress=None):
        self.training = model.training
        return x.mean(), {"mean": x.mean(), "noise": torch.rand(())}


def make_data(n):
    valid = DataSplit(torch.arange(float(n)).reshape(n, 1), None, to_float)
    return LoadedDataset(None, None, valid, None)


def test_a_ragged_last_batch_is_weighted_by_its_examples():
    assert validate(nn.Identity(), Mean(), make_data(7), batch_size=3, seed=0)["mean"] == 3.0


def test_the_model_is_in_evaluation_mode_and_returns_to_its_own():
    model, objective = nn.Identity().train(), Mean()
    validate(model, objective, make_data(2), batch_size=2, seed=0)
    assert objective.training is False
    assert model.training is True


def test_two_evaluations_see_the_same_noise():
    first, second = (validate(nn.Identity(), Mean(), make_data(4), batch_size=2, seed=1)["noise"] for _ in range(2))
    assert first == second
    assert validate(nn.Identity(), Mean(), make_data(4), batch_size=2, seed=2)["noise"] != first
