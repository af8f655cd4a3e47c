import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.stein_particles import SteinParticlesPosterior
from tests.support.contracts import check_every_parameter_gets_a_gradient


def test_samples_depend_on_noise():
    torch.manual_seed(0)
    posterior, x = SteinParticlesPosterior(MLPEncoder((4,), [6], "gated"), 3, 2, 5, "tanh"), torch.rand(7, 4)
    torch.manual_seed(1)
    z = posterior(x).rsample((9,))
    torch.manual_seed(1)
    noise = torch.randn(9, 7, 2)
    both = torch.cat([posterior.encoder(x).expand(9, -1, -1), noise], -1)
    weight = torch.cat([posterior.joint.first.weight, posterior.joint.second.weight], 1)
    expected = posterior.output(torch.tanh(both @ weight.T + posterior.joint.second.bias))
    torch.testing.assert_close(z, expected)
    check_every_parameter_gets_a_gradient(posterior, z)
