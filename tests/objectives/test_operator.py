import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.objectives.operator import Operator, gradient_reversal, operator_objective
from dgm_run.posteriors.operator import OperatorPosterior
from tests.support import exact

pytestmark = pytest.mark.usefixtures("double")


def test_linear_functions_closed_form():
    # q = N(m, V), p = N(0, I), f(z) = A z: the mean of score'f + div f is tr A - tr(A (V + m m'))
    torch.manual_seed(0)
    n, dim = 200_000, 3
    a, mean, root = torch.randn(dim, dim), torch.randn(dim), 0.5 * torch.randn(dim, dim)
    z = mean + torch.randn(n, 4, dim) @ root.T
    values = operator_objective(-z, z @ a.T, a.trace().expand(n, 4))
    second = root @ root.T + mean.outer(mean)
    expected = (a.trace() - (a @ second).trace()) ** 2
    assert ((values - expected).abs() < 0.05 * expected + 0.05).all()


def test_operator_vanishes_at_posterior():
    torch.manual_seed(0)
    z, a = torch.randn(200_000, 3, 2), torch.randn(2, 2)
    f, divergence = torch.tanh(z @ a.T), ((1 - torch.tanh(z @ a.T).square()) * a.diagonal()).sum(-1)
    assert operator_objective(-z, f, divergence).abs().max() < 1e-3


def model():
    found = exact.factor_analysis(2, 4, full=True)
    found.posterior = OperatorPosterior(MLPEncoder((4,), [5], "tanh"), 2, 3, 6, "tanh", 7).double()
    return found


def test_q_and_test_functions_oppose():
    m, x = model(), torch.randn(3, 4)
    torch.manual_seed(1)
    loss, terms = Operator(num_samples=8)(m, x)
    names = ["posterior.output.bias", "posterior.test_function.out.weight", "decoder.output.bias"]
    parameters = [dict(m.named_parameters())[name] for name in names]
    found = torch.autograd.grad(loss, parameters)

    torch.manual_seed(1)
    z = m.posterior(x).rsample((8,))
    weight, bias = m.decoder.output.weight, m.decoder.output.bias
    scale = m.decoder.likelihood.log_scale.exp().detach()
    scale = torch.exp(torch.logaddexp(m.decoder.likelihood.log_scale, torch.tensor(0.01).log())).detach()
    score = (x - z @ weight.T - bias) @ weight / scale**2 - z
    f, divergence = m.posterior.test_function(z, m.posterior.encoder(x).detach())
    value = operator_objective(score, f, divergence).mean()
    torch.testing.assert_close(terms["operator"], value.detach())
    of_q, of_f = torch.autograd.grad(value, parameters[:2])
    of_p = -(x - z.detach() @ weight.T - bias).mean((0, 1)) / scale**2
    torch.testing.assert_close(found, (of_q, -of_f, of_p))


def test_reversed_network_is_same_function():
    network, x = torch.nn.Linear(2, 3), torch.randn(4, 2)
    torch.testing.assert_close(gradient_reversal(network, x), network(x))
    gradients = [torch.autograd.grad(f.sum(), network.weight)[0] for f in (gradient_reversal(network, x), network(x))]
    torch.testing.assert_close(gradients[0], -gradients[1])


def test_an_odd_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="must be even"):
        Operator(num_samples=5)
