import math

import pytest
import torch
from torch import nn

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.models.latent.gan import iterate_parameters
from dgm_run.objectives.adversarial import LOSSES, Adversarial

SETTINGS = {"loss": "non_saturating", "r1": 0.0, "gradient_penalty": 0.0, "clip": None}
GRID = torch.tensor([-2.0, -0.5, 0.0, 1.5])


def model(*overrides):
    torch.manual_seed(0)
    return instantiate(dgm_run.compose("model=gan", "model.latent_dim=3", *overrides).model)


def linear_discriminator(m):
    """log-odds w'x + c."""
    m.encoder, m.head = nn.Flatten(), nn.Linear(64, 1)
    return m.head.weight.detach()


def x():
    torch.manual_seed(3)
    return torch.rand(6, 1, 8, 8)


@pytest.mark.parametrize(
    ("loss", "of_discriminator", "of_generator"),
    [
        ("minimax", lambda a, b: -math.log(sig(a)) - math.log(1 - sig(b)), lambda b: math.log(1 - sig(b))),
        ("non_saturating", lambda a, b: -math.log(sig(a)) - math.log(1 - sig(b)), lambda b: -math.log(sig(b))),
        ("least_squares", lambda a, b: ((a - 1) ** 2 + b**2) / 2, lambda b: (b - 1) ** 2 / 2),
        ("hinge", lambda a, b: max(0, 1 - a) + max(0, 1 + b), lambda b: -b),
        ("wasserstein", lambda a, b: b - a, lambda b: -b),
    ],
)
def test_losses_are_those_of_the_papers(loss, of_discriminator, of_generator):
    found_d, found_g = LOSSES[loss]
    for a in GRID:
        for b in GRID:
            assert found_d(a, b).item() == pytest.approx(of_discriminator(a.item(), b.item()), abs=1e-5)
        assert found_g(a).item() == pytest.approx(of_generator(a.item()), abs=1e-5)


def sig(a):
    return 1 / (1 + math.exp(-a))


def test_equal_data_loss_is_two_log_two():
    m = model()
    nn.init.zeros_(m.head.weight)
    loss, terms = Adversarial(**SETTINGS)(m, x())
    assert loss.item() == pytest.approx(2 * math.log(2))
    assert terms["logit_data"] == terms["logit_samples"] == 0
    assert Adversarial(**SETTINGS).generator_loss(m, 5).item() == pytest.approx(math.log(2))


def test_players_learn_from_own_loss():
    m = model()
    Adversarial(**(SETTINGS | {"r1": 1.0, "gradient_penalty": 2.0}))(m, x())[0].backward()
    assert all(p.grad is None for p in iterate_parameters(m.generator))
    assert all(p.grad is not None for p in iterate_parameters(m.discriminator))
    m.zero_grad()
    Adversarial(**SETTINGS).generator_loss(m, 5).backward()
    assert all(p.grad is not None for p in iterate_parameters(m.generator))
    assert all(p.grad is None for p in iterate_parameters(m.discriminator))
    assert all(p.requires_grad for p in m.parameters())


def test_linear_penalties_match():
    m = model()
    w = linear_discriminator(m)
    bare = Adversarial(**SETTINGS)
    penalties = {"r1": 1.5 * w.square().sum(), "gradient_penalty": 3 * (w.norm() - 1) ** 2}
    for name, expected in penalties.items():
        torch.manual_seed(1)
        loss, terms = Adversarial(**(SETTINGS | {name: 3.0}))(m, x())
        torch.manual_seed(1)
        without, _ = bare(m, x())
        torch.testing.assert_close(loss - without, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(terms["penalty"], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(terms["slope"], w.norm(), rtol=1e-4, atol=1e-5)
        assert torch.autograd.grad(terms["penalty"] + loss, m.head.weight)[0].any()


def test_clipping_spares_the_generator():
    m = model()
    before = [p.clone() for p in iterate_parameters(m.generator)]
    Adversarial(**(SETTINGS | {"clip": 0.01})).project_parameters(m)
    assert max(p.abs().max() for p in iterate_parameters(m.discriminator)) <= 0.01
    assert all(torch.equal(a, b) for a, b in zip(before, iterate_parameters(m.generator), strict=True))


def test_what_is_seen_on_validation_data():
    m = model("model.spectral_norm=true")
    torch.manual_seed(1)
    data = DataSplit(torch.rand(200, 1, 8, 8), None, to_float)
    found = Adversarial(**SETTINGS).evaluate(m, LoadedDataset(None, data, data, data), 50)
    assert found["similarity"] < -0.05
    assert found["recall"] == 0
    assert found["spread"] < 0.7
    sizes = [value for name, value in found.items() if name.startswith("singular_value_")]
    assert len(sizes) == 3
    m.decoder = Repeats(data.x)
    found = Adversarial(**SETTINGS).evaluate(m, LoadedDataset(None, data, data, data), 50)
    assert found["recall"] > 0.8
    assert found["precision"] == 1
    assert found["spread"] == pytest.approx(1, abs=0.05)


class Repeats(nn.Module):
    """A generator that has learnt the data by heart."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def forward(self, z):
        return IndependentGaussian(self.x[torch.randint(len(self.x), (len(z),))], torch.zeros(()), 3)


def test_penalty_makes_line_converge():
    """Two scalars against each other: the generator sits at theta, data at zero, D(x) = psi x."""

    of_discriminator, of_generator = LOSSES["minimax"]

    def radius(r1):
        theta, psi = torch.tensor(1.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
        for _ in range(500):
            d = of_discriminator(psi * torch.zeros(()), psi * theta) + 0.5 * r1 * psi.square()
            (of_psi,) = torch.autograd.grad(d, psi)
            (of_theta,) = torch.autograd.grad(of_generator(psi * theta), theta)
            with torch.no_grad():
                psi -= 0.1 * of_psi
                theta -= 0.1 * of_theta
        return math.hypot(theta.item(), psi.item())

    assert radius(0.0) > 0.9
    assert radius(1.0) < 1e-3


@pytest.mark.parametrize("settings", [{"r1": -1.0}, {"gradient_penalty": -1.0}, {"clip": 0.0}])
def test_invalid_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must not be negative"):
        Adversarial(**(SETTINGS | settings))
