import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.gaussian import GaussianPosterior
from tests.support.contracts import check_posterior

SHAPE = (1, 2, 2)


def make(hidden_dims=(), log_var_range=(-6.0, 2.0), latent_dim=3):
    return GaussianPosterior(MLPEncoder(SHAPE, list(hidden_dims), "gated"), latent_dim, log_var_range)


def test_each_example_has_a_density():
    check_posterior(make([5]), SHAPE, latent_dim=3)


def test_outputs_are_linear_without_layers():
    posterior, x = make(), torch.rand(4, *SHAPE)
    output = x.reshape(4, 4) @ posterior.head.weight.T + posterior.head.bias
    expected = torch.distributions.Normal(output[:, :3], output[:, 3:].clamp(-6, 2).div(2).exp())
    z = torch.randn(4, 3)
    torch.testing.assert_close(posterior(x).log_prob(z), expected.log_prob(z).sum(-1))
    torch.testing.assert_close(posterior(x).mean, output[:, :3])


def test_log_variance_clamp_has_no_gradient():
    posterior = make(log_var_range=(-1.0, 1.0))
    torch.nn.init.zeros_(posterior.head.weight)
    with torch.no_grad():
        posterior.head.bias[3:] = torch.tensor([-5.0, 0.5, 5.0])
    q = posterior(torch.rand(1, *SHAPE))
    torch.testing.assert_close(q.variance.log(), torch.tensor([[-1.0, 0.5, 1.0]]))
    (gradient,) = torch.autograd.grad(q.variance.sum(), posterior.head.bias)
    assert gradient[3:].ne(0).tolist() == [False, True, False]


def test_density_has_full_precision():
    with torch.autocast("cpu", torch.bfloat16):
        q = make([5])(torch.rand(4, *SHAPE))
        assert q.mean.dtype == q.variance.dtype == q.rsample().dtype == torch.float32
