import dataclasses

import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.early_stopping import EarlyStopping


class MedianRule:
    """Stops at one epoch."""

    def __init__(self, epoch=None):
        self.epoch = epoch
        self.epochs = []

    def should_stop(self, name, epoch, best):
        assert name == "valid/elbo"
        self.epochs.append(epoch)
        return epoch == self.epoch


@pytest.fixture(scope="module")
def settings():
    return instantiate(compose("trainer.patience=2", "trainer.eval_every=1").trainer)


def make_stopping(settings, folder, rule=None, pruning=None, **changes):
    settings = dataclasses.replace(settings, **changes)
    return EarlyStopping(settings, "valid/elbo", Checkpoints(folder), rule or MedianRule(), pruning)


def update(stopping, *values, is_counted=True):
    for epoch, value in enumerate(values, 1):
        stopping.update(value, epoch, is_counted, lambda value=value: {"weight": torch.tensor([value])})


def test_patience_counts_evaluations_since_the_best(settings, tmp_path):
    stopping = make_stopping(settings, tmp_path)
    update(stopping, 1.0, 3.0, 2.0)
    assert stopping.reason is None
    stopping.update(2.5, 4, True, dict)
    assert stopping.reason == "patience"
    assert (stopping.best, stopping.best_epoch) == (3.0, 2)
    assert stopping.load_weights()["weight"].item() == 3.0


def test_patience_ignores_evaluations_in_a_warm_up(settings, tmp_path):
    stopping = make_stopping(settings, tmp_path)
    update(stopping, 3.0, 2.0, 1.0, 0.0, is_counted=False)
    assert stopping.reason is None


def test_median_rule_is_asked_at_doubled_epochs(settings, tmp_path):
    rule = MedianRule(4)
    stopping = make_stopping(settings, tmp_path, rule, median_stopping_after=2, patience=None)
    update(stopping, 1.0, 2.0, 3.0)
    assert stopping.reason is None
    stopping.update(4.0, 4, True, dict)
    assert rule.epochs == [2, 4]
    assert stopping.reason == "median_stopping"
    resumed = make_stopping(settings, tmp_path, patience=None)  # without the rule
    resumed.load_state_dict(stopping.state_dict())
    assert resumed.reason is None


class PruningRule:
    """Stops where the best value is below a limit."""

    def __init__(self):
        self.calls = []

    def should_stop(self, name, epoch, best):
        self.calls.append((name, epoch, best))
        return best < 2.0


def test_pruning_is_asked_at_every_validation(settings, tmp_path):
    rule = PruningRule()
    stopping = make_stopping(settings, tmp_path, pruning=rule)
    stopping.update(3.0, 1, True, dict)
    stopping.update(1.0, 2, True, dict)
    assert rule.calls == [("valid/elbo", 1, 3.0), ("valid/elbo", 2, 3.0)]
    assert stopping.reason is None
    stopping = make_stopping(settings, tmp_path, pruning=rule)
    stopping.update(1.0, 1, True, dict)
    assert stopping.reason == "pruning"
    resumed = make_stopping(settings, tmp_path)  # after its search
    resumed.load_state_dict(stopping.state_dict())
    assert resumed.reason is None


def test_saved_state_and_weights_are_restored(settings, tmp_path):
    stopping = make_stopping(settings, tmp_path)
    update(stopping, 3.0, 2.0)
    stopping.save_weights()
    restored = make_stopping(settings, tmp_path)
    restored.load_state_dict(stopping.state_dict())
    assert restored.load_weights()["weight"].item() == 3.0
    restored.update(1.0, 3, True, dict)
    assert restored.reason == "patience"
