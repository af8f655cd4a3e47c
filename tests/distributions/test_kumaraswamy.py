import mpmath
import pytest
import torch
from scipy import integrate, special
from torch.distributions import Beta, Kumaraswamy

from dgm_run.distributions.kumaraswamy import LogitKumaraswamy
from tests.support.contracts import (
    check_broadcasts,
    check_density_integrates_to_one,
    check_detach_stops_gradients,
    check_sampler_follows_density,
)

A = torch.tensor([[0.4, 3.0], [1.0, 2.0], [1.7, 0.8]]).double()
B = torch.tensor([[2.0, 0.3], [5.0, 1.0], [0.7, 9.0]]).double()


def test_density_matches_scipy():
    z = 2 * torch.randn(50, 3, 2).double()
    v = z.sigmoid()
    expected = (Kumaraswamy(A, B).log_prob(v) + v.log() + (1 - v).log()).sum(-1)
    torch.testing.assert_close(LogitKumaraswamy(A, B).log_prob(z), expected)


def test_samples_follow_the_density():
    p = LogitKumaraswamy(A[1:2], B[1:2])
    check_density_integrates_to_one(p, half_width=30.0, num_points=900)
    check_sampler_follows_density(LogitKumaraswamy(A[2], B[2]), half_width=8.0)
    check_broadcasts(LogitKumaraswamy(A, B))


def test_samples_have_quantile_gradient():
    a, b = A.clone().requires_grad_(), B.clone().requires_grad_()

    def draw(a, b):
        torch.manual_seed(0)
        return LogitKumaraswamy(a, b).rsample((2,))

    assert torch.autograd.gradcheck(draw, (a, b))
    torch.manual_seed(0)
    u = torch.exp(-torch.empty(2, 3, 2).double().exponential_())
    torch.testing.assert_close(draw(a, b).sigmoid(), ((1 - u ** (1 / b)) ** (1 / a)))


def test_samples_at_ends_stay_finite():
    extreme = LogitKumaraswamy(torch.tensor([0.1, 60.0]), torch.tensor([60.0, 0.1]))
    z, log_q = extreme.rsample_and_log_prob((10_000,))
    assert z.isfinite().all()
    assert log_q.isfinite().all()
    assert len(z[:, 1].unique()) > 9000  # none piles up where single precision ends
    assert z.abs().max() > 30  # where v itself would be one


@pytest.mark.parametrize("z", [-200.0, -60.0, 30.0, 39.9, 40.1, 100.0, 300.0])
def test_the_tails_are_those_of_many_digits(z):
    mpmath.mp.dps = 200
    for a, b in ((0.3, 0.1), (1.0, 5.0), (7.0, 0.6)):
        v = 1 / (1 + mpmath.exp(-mpmath.mpf(z)))
        expected = mpmath.log(a * b * v**a * (1 - v**a) ** (b - 1) * (1 - v))
        value = torch.tensor([z], requires_grad=True)
        log_p = LogitKumaraswamy(torch.tensor([a]), torch.tensor([b])).log_prob(value)
        assert log_p.item() == pytest.approx(float(expected), rel=1e-5)
        slope = torch.autograd.grad(log_p, value)[0].item()
        assert slope == pytest.approx(a if z < 0 else -b, rel=1e-4, abs=1e-5)


def test_far_samples_have_finite_gradients():
    torch.manual_seed(0)
    a, b = torch.tensor([0.5, 1.0, 2.0]).requires_grad_(), torch.tensor([0.1, 0.3, 0.1]).requires_grad_()
    z, log_q = LogitKumaraswamy(a, b).rsample_and_log_prob((100_000,))
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(z.sum() + log_q.sum(), (a, b)))


@pytest.mark.parametrize(("a", "b", "concentration"), [(0.6, 1.4, 3.0), (2.0, 5.0, 5.0), (1.0, 5.0, 5.0)])
def test_kl_to_beta_matches_quadrature(a, b, concentration):
    def integrand(v):
        log_q = torch.tensor(a * b).log().item() + special.xlogy(a - 1, v) + special.xlog1py(b - 1, -(v**a))
        log_p = special.xlog1py(concentration - 1, -v) - special.betaln(1, concentration)
        return torch.tensor(log_q).exp().item() * (log_q - log_p)

    expected, _ = integrate.quad(integrand, 0, 1, limit=200)
    one = torch.ones(1).double()
    q, p = LogitKumaraswamy(a * one, b * one), LogitKumaraswamy(one, concentration * one)
    torch.manual_seed(0)
    z, log_q = q.rsample_and_log_prob((200_000,))
    differences = log_q - p.log_prob(z)
    error = differences.std().item() / 200_000**0.5
    assert abs(differences.mean().item() - expected) < 5 * error + 1e-6


def test_with_a_at_one_it_is_a_beta_variable():
    z = torch.randn(20, 1).double()
    v = z.sigmoid()
    expected = Beta(1.0, 3.0).log_prob(v) + v.log() + (1 - v).log()
    one = torch.ones(1).double()
    torch.testing.assert_close(LogitKumaraswamy(one, 3 * one).log_prob(z), expected.sum(-1))


def test_detached_it_gives_no_gradient():
    check_detach_stops_gradients(LogitKumaraswamy, A, B)
