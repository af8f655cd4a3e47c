import numpy as np
import pytest
import torch
from scipy.special import expit

from dgm_run.config.compose import compose
from dgm_run.config.validate import validate
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.sources.bars_and_stripes import BarsAndStripes
from dgm_run.errors import ConfigError
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.dbn import DBN
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.persistent_contrastive_divergence import PersistentContrastiveDivergence
from dgm_run.objectives.energy.up_down import UpDown
from tests.models.energy.test_dbn import log_p, log_p_unnormalised, make
from tests.objectives.test_energy_learning import SHARED, train
from tests.support import energy


def test_weights_follow_delta_rules():
    model = make(num_hidden=(2, 3, 2))
    x = energy.visible_states(model)
    progress = Progress(torch.tensor(0.0), {})
    torch.manual_seed(1)
    loss, _ = UpDown(2, None, Exact(20))(model, x, progress)
    loss.backward()

    torch.manual_seed(1)  # the same wake, chain and dream
    with torch.no_grad():
        awake = model.recognise(x)
        dreamt, _ = model.top.gibbs(awake[-1], 2)
        asleep = [units.numpy() for units in model.generate(dreamt)]
    awake, dreamt, w = [units.numpy() for units in awake], dreamt.numpy(), energy.weights_of(model)
    found = {name: value.grad.numpy() for name, value in model.named_parameters()}
    for i in range(2):
        for direction, (given, target) in {
            "generation": (awake[i + 1], awake[i]),
            "recognition": (asleep[i], asleep[i + 1]),
        }.items():
            name = f"layers.{i}.{direction}"
            missing = target - expit(given @ w[f"{name}.weight"].T + w[f"{name}.bias"])
            np.testing.assert_allclose(found[f"{name}.weight"], -missing.T @ given / len(x), atol=1e-12)
            np.testing.assert_allclose(found[f"{name}.bias"], -missing.mean(0), atol=1e-12)
    up = [expit(units @ w["top.weight"] + w["top.hidden_bias"]) for units in (awake[-1], dreamt)]
    expected = (dreamt.T @ up[1] - awake[-1].T @ up[0]) / len(x)
    np.testing.assert_allclose(found["top.weight"], expected, atol=1e-12)
    np.testing.assert_allclose(found["top.visible_bias"], (dreamt - awake[-1]).mean(0), atol=1e-12)
    np.testing.assert_allclose(found["top.hidden_bias"], (up[1] - up[0]).mean(0), atol=1e-12)


def test_evaluation_reports_likelihood():
    model = make()
    x = energy.visible_states(model).repeat(500, 1, 1, 1)
    data = LoadedDataset(None, None, DataSplit(x, None, lambda values: values), None)
    torch.manual_seed(0)
    found = UpDown(1, None, Exact(20)).evaluate(model, data, 1000)
    assert found["elbo"] < found["log_likelihood"] < log_p(model).mean()  # ten draws are few here
    assert found["log_partition"] == pytest.approx(np.logaddexp.reduce(log_p_unnormalised(model)))
    assert found["baseline"] == pytest.approx(model.log_baseline(x).mean().item())


@pytest.mark.parametrize(("settings", "message"), [((0, None), "num_steps = 0"), ((1, 0), "grow_every = 0")])
def test_settings_that_are_none_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UpDown(*settings, Exact(20))


def test_other_models_are_refused():
    with pytest.raises(ConfigError, match="UpDown needs model to be of kind DBN; RBM is not"):
        validate(compose("model=rbm", "objective=up_down"))


@pytest.mark.slow
def test_bars_and_stripes():
    """Layer by layer, then together: the second step has to add to the first. The bound of 3 x 3 is -2.599."""
    torch.manual_seed(0)
    x = BarsAndStripes(3)().train.x.float()
    model = DBN(x.shape[1:], [9, 9], init_scale=0.1, visible_bias="logit_mean")
    model.initialize(x)
    pcd, batch = PersistentContrastiveDivergence(*SHARED, 1, 100), x.repeat(8, 1, 1, 1)
    for index in range(2):
        stage = model.build_stage(index)
        stage.model.initialize(stage.prepare(x.repeat(100, 1, 1, 1)))
        train(stage.model, pcd, lambda _, stage=stage: stage.prepare(batch), lr=0.2, num_steps=5000)
        stage.finish()
    where = energy.index_of(x)
    greedy = log_p(model)[where].mean()
    train(model, UpDown(5, None, Exact(20)), lambda step: batch, lr=0.02, num_steps=10_000)
    together = log_p(model)[where].mean()
    assert greedy >= -3.3
    assert -2.599 >= together >= max(greedy + 0.1, -2.9)


def test_top_chain_grows_with_epochs(monkeypatch):
    model, seen = make(), []
    gibbs = model.top.gibbs
    monkeypatch.setattr(model.top, "gibbs", lambda state, num_steps: seen.append(num_steps) or gibbs(state, num_steps))
    for epoch in (0.0, 1.0, 2.0, 5.0):
        UpDown(3, 2, Exact(20))(model, energy.visible_states(model), Progress(torch.tensor(epoch), {}))
    assert seen == [3, 3, 4, 5]
