import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.distributed.signals import Interrupted
from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import stop_after

SMALL = ("model=m1_m2", "model.feature_dim=1", "model.hidden_dims=[4]", "model.hidden_dim=4",
         "encoder.hidden_dims=[4]", "decoder.hidden_dims=[3]")  # fmt: skip


def model():
    torch.manual_seed(0)
    made = instantiate(
        dgm_run.compose(*SMALL, "dataset.shape=[1,2,2]", "dataset.num_classes=3", "model.latent_dim=4").model
    ).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made.eval()


def images():
    return torch.tensor([[[[0.0, 1], [1, 0]]], [[[1.0, 1], [0, 0]]]])


@pytest.mark.usefixtures("double")
@torch.no_grad()
def test_the_likelihood_is_that_of_quadrature_over_both_levels():
    m, x = model(), images()
    z = torch.linspace(-7, 7, 301).unsqueeze(1)
    step = 14 / 300
    log_pz = -0.5 * z.square() - 0.5 * math.log(2 * math.pi) + math.log(step)  # (Z, 1)
    log_features = []
    for k in range(3):
        code = torch.cat([torch.eye(3)[k].expand(len(z), 3), z], 1)
        log_features.append((m.m2.decode(code).pairwise_log_prob(z) + log_pz.T).logsumexp(1))  # of each z1
    log_p1 = torch.stack(log_features).logsumexp(0) - math.log(3) + math.log(step)
    log_px = torch.stack([m.m1.decode(z).log_prob(each) for each in x])
    expected = (log_px + log_p1).logsumexp(1)
    torch.manual_seed(1)
    ratio = (m.log_weights(x, 50_000) - expected).exp()
    assert ((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / len(ratio) ** 0.5).all()


@pytest.mark.usefixtures("double")
def test_m2_sees_draws_while_it_learns_and_means_when_it_is_asked():
    m, x = model(), images()
    assert torch.equal(m.observe(x), m.m1.infer(x).mean)
    m.train()
    assert not any(part.training for part in m.m1.modules())
    assert not torch.equal(m.observe(x), m.observe(x))
    m.log_joint_weights_of_all(m.observe(x)).sum().backward()
    assert all(parameter.grad is None for parameter in m.m1.parameters())
    assert m.m2.decoder.output.linear.weight.grad is not None


def test_m1_is_trained_first_and_stopped_anywhere_the_run_goes_on(tmp_path, monkeypatch):
    tiny = (*SMALL, "trainer.max_epochs=2", "trainer.pretraining.max_epochs=2", "trainer.pretraining.eval_every=1",
            "trainer.batch_size=500", "trainer.threads=1", "trainer.device=cpu", "estimators=[]")  # fmt: skip
    found = dgm_run.run(dgm_run.compose(*tiny), tmp_path / "whole")
    assert found["training"]["steps"] == 12
    assert found["training"]["monitor"] == "valid/elbo"
    m1 = Checkpoints(tmp_path / "whole" / "checkpoints").load("best_of_layer_1")[0]
    whole = Checkpoints(tmp_path / "whole" / "checkpoints").load("last")[0]
    assert all(torch.equal(value, whole[f"m1.{name}"]) for name, value in m1.items())
    for looks in (3, 9):
        folder = tmp_path / f"stopped_{looks}"
        with monkeypatch.context() as patch:
            stop_after(looks, patch)
            with pytest.raises(Interrupted):
                dgm_run.run(dgm_run.compose(*tiny), folder)
        dgm_run.run(dgm_run.compose(*tiny, f"trainer.resume={folder}"), folder)
        parts = Checkpoints(folder / "checkpoints").load("last")[0]
        assert all(torch.equal(whole[name], parts[name]) for name in whole)
