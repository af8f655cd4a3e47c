import math

import pytest
import torch
import torch.nn.functional as F

import dgm_run
from dgm_run.config.compose import instantiate, validate
from dgm_run.errors import ConfigError

pytestmark = pytest.mark.usefixtures("double")


def model(*overrides):
    torch.manual_seed(0)
    cfg = dgm_run.compose(
        *("model=m2", "model.latent_dim=4", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[3]", "model.hidden_dim=5"),
        *("dataset.shape=[1,2,2]", "dataset.num_classes=3", *overrides),
    )
    made = instantiate(cfg.model).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def images():
    return torch.tensor([[[[0.0, 1], [1, 0]]], [[[1.0, 1], [0, 0]]]])


def log_joint(m, x):
    """log p(x, y) of every class by quadrature over z: (B, K)."""
    z = torch.linspace(-8, 8, 2001).unsqueeze(1)
    log_pz = -0.5 * z.square().squeeze(1) - 0.5 * math.log(2 * math.pi) + math.log(16 / 2000)
    columns = []
    for k in range(3):
        y = F.one_hot(torch.tensor(k), 3).double().expand(len(z), 3)
        p_x = m.decode(torch.cat([y, z], 1))
        columns.append(torch.stack([(p_x.log_prob(each) + log_pz).logsumexp(0) - math.log(3) for each in x]))
    return torch.stack(columns, 1)


@torch.no_grad()
def test_joint_weights_and_likelihood_are_those_of_quadrature():
    m, x = model(), images()
    torch.manual_seed(1)
    log_w = torch.stack([m.log_joint_weights_of_all(x) for _ in range(4000)])  # (S, K, B)
    expected = log_joint(m, x)
    for found, exact in ((log_w, expected.T), (m.log_weights(x, 20_000), expected.logsumexp(1))):
        ratio = (found - exact).exp()  # 1 in the mean
        assert ((ratio.mean(0) - 1).abs() < 5 * ratio.std(0) / len(ratio) ** 0.5).all()


@torch.no_grad()
def test_mass_sums_to_one():
    m = model()
    pixels = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 2, 2)
    assert log_joint(m, pixels).exp().sum().item() == pytest.approx(1, abs=1e-6)


@torch.no_grad()
def test_labels_come_one_by_one_or_all_at_once():
    m, x = model(), images()
    y = F.one_hot(torch.tensor([2, 0]), 3).double()
    torch.manual_seed(1)
    found = m.log_joint_weights(x, y)
    torch.manual_seed(1)
    z, log_q = m._given_label(x)(y).rsample_and_log_prob()
    log_px = m.decode(torch.cat([y, z], 1)).log_prob(x)
    expected = log_px - math.log(3) - 0.5 * z.square().sum(1) - 0.5 * math.log(2 * math.pi) - log_q
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(m.classify(x).exp().sum(1), torch.ones(2))


def test_a_code_without_a_place_for_z_is_refused():
    with pytest.raises(ConfigError, match="model: latent_dim = 3 must exceed 3, the places that the label takes"):
        model("model.latent_dim=3")


def test_data_without_labels_are_refused_with_those_that_have_some():
    with pytest.raises(ConfigError, match=r"M2 learns from labels, and the data have none: choose dataset=.*digits"):
        validate(dgm_run.compose("model=m2", "dataset=static_mnist"))
