import pytest
import torch

from dgm_run.distributions.implicit import Implicit
from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.objectives.stein import Stein
from dgm_run.posteriors.stein_particles import SteinParticlesPosterior
from dgm_run.samplers.svgd import svgd_direction
from tests.support import exact

pytestmark = pytest.mark.usefixtures("double")


def model():
    found = exact.factor_analysis(2, 4, full=True)
    found.posterior = SteinParticlesPosterior(MLPEncoder((4,), [20], "tanh"), 2, 3, 30, "tanh").double()
    return found


def test_q_follows_direction_p_joint():
    m, x = model(), torch.randn(3, 4)
    torch.manual_seed(1)
    loss, terms = Stein(num_samples=6)(m, x)
    found = torch.autograd.grad(loss, [m.posterior.output.bias, m.decoder.output.bias])
    torch.manual_seed(1)
    z = m.posterior(x).rsample((6,)).detach().requires_grad_()
    log_px = m.decode(z).log_prob(x)
    joint = log_px + m.prior(None).log_prob(z)
    (score,) = torch.autograd.grad(joint.sum(), z, retain_graph=True)
    of_q = -svgd_direction(z, score, is_self_excluded=True).mean((0, 1)).detach()
    (of_p,) = torch.autograd.grad(-joint.mean(), m.decoder.output.bias)
    torch.testing.assert_close(found, (of_q, of_p))
    torch.testing.assert_close(terms["reconstruction"], log_px.mean().detach())


@pytest.mark.slow
def test_particles_find_fa_posterior():
    m, x = model(), torch.randn(200, 4)
    optimizer = torch.optim.Adam(m.posterior.parameters(), lr=3e-3)
    for _ in range(3000):
        optimizer.zero_grad()
        Stein(num_samples=20)(m, x)[0].backward()
        optimizer.step()
    weight = m.decoder.output.weight
    precision = torch.eye(2) + weight.T @ weight / exact.NOISE**2
    mean = (x - m.decoder.output.bias) @ weight @ torch.linalg.inv(precision) / exact.NOISE**2
    with torch.no_grad():
        z = m.posterior(x).sample((2000,))
    assert isinstance(m.posterior(x), Implicit)
    assert (z.mean(0) - mean).square().mean().sqrt() < 0.1
    expected = torch.linalg.inv(precision).diagonal().sqrt()
    assert ((z.std(0).mean(0) / expected - 1).abs() < 0.3).all()
