import copy

import pytest
import torch

import dgm_run
from dgm_run.config.compose import compose, instantiate
from dgm_run.data.data_split import DataSplit
from dgm_run.errors import ConfigError
from dgm_run.recording.checkpoint import Checkpoints
from dgm_run.trainers.gradient_step import GradientStep
from tests.support.tiny import TINY_ENERGY

PCD = ("objective.num_chains=5", "optimizer.momentum=0.5")


def make_step(seed=0, *overrides):
    cfg = compose(*TINY_ENERGY, "schedule=cosine", "trainer.batch_size=20", "trainer.max_epochs=4", *overrides)
    torch.manual_seed(seed)
    x = (torch.rand(60, 1, 8, 8) < 0.3).float()
    model = instantiate(cfg.model)
    model.initialize(x)
    return GradientStep(instantiate(cfg.trainer), model, instantiate(cfg.objective), DataSplit(x, None, lambda v: v), 3)


def train(step, numbers):
    for number in numbers:
        step.begin_epoch(number)
        step(torch.arange(20), number)
        step.end_epoch(None)


def test_saved_state_resumes_exactly():
    whole = make_step(0, *PCD)
    train(whole, range(2))
    weights = {name: value.clone() for name, value in whole.model.state_dict().items()}
    saved = copy.deepcopy(whole.state_dict())
    train(whole, range(2, 4))
    resumed = make_step(0, *PCD)
    resumed.model.load_state_dict(weights)
    resumed.load_state_dict(saved)
    train(resumed, range(2, 4))
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert torch.equal(resumed.objective_state[0]["chains"], whole.objective_state[0]["chains"])
    assert resumed.learning_rate == whole.learning_rate
    assert not torch.equal(resumed.model.weight, weights["weight"])


def test_step_moves_against_the_gradient():
    cfg = compose("model=factor_analysis", "model.latent_dim=2", "trainer=gradient", "optimizer=sgd",
                  "optimizer.lr=0.01", "optimizer.momentum=0", "trainer.device=cpu")  # fmt: skip
    torch.manual_seed(0)
    x = torch.rand(60, 1, 8, 8)
    model = instantiate(cfg.model)
    step = GradientStep(instantiate(cfg.trainer), model, instantiate(cfg.objective), DataSplit(x, None, lambda v: v), 0)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    gradients = torch.autograd.grad(-model.log_prob(x[:20]).mean(), list(model.parameters()))
    terms = step(torch.arange(20), 0)
    for parameter, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.01 * gradient)
    assert terms["loss"] == -terms["log_likelihood"]


def test_optimizer_error_names_its_key():
    with pytest.raises(ConfigError, match="layers or its schedule"):
        step = make_step(0, *PCD)
        GradientStep(
            instantiate(compose(*TINY_ENERGY, "optimizer.lr=-1").trainer),
            *(step.model, step.objective, step.train, 0, "layers"),
        )


def test_plateau_schedule_waits_for_a_validation():
    step = make_step(0, "schedule=plateau", "schedule.patience=0")
    step.end_epoch(-1.0)
    first = step.learning_rate
    step.end_epoch(None)
    assert step.learning_rate == first
    step.end_epoch(-2.0)
    assert step.learning_rate < first


@pytest.mark.parametrize("decoder", ["pixelcnn", "gated_pixelcnn"])
def test_weights_with_channels_last_resume_to_the_bit(decoder, tmp_path):
    small = ("decoder.network.channels=4", "decoder.network.num_layers=2", "trainer.batch_size=16")
    model = ("model=autoregressive", f"decoder={decoder}", "dataset=bars_and_stripes", *small, "trainer.resume=auto")
    for folder, epochs in (("whole", 4), ("resumed", 2), ("resumed", 4)):
        dgm_run.run(dgm_run.compose(*model, f"trainer.max_epochs={epochs}"), tmp_path / folder)
    whole, resumed = (Checkpoints(tmp_path / name / "checkpoints").load("last")[0] for name in ("whole", "resumed"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    images = [each for each in dgm_run.load(tmp_path / "whole").model.parameters() if each.dim() == 4]
    assert not all(each.is_contiguous() for each in images)
