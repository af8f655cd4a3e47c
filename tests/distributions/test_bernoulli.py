import torch

from dgm_run.distributions.bernoulli import Bernoulli
from tests.support.contracts import (
    check_broadcasts,
    check_masses_sum_to_one,
    check_sampler_follows_masses,
)

torch.manual_seed(1)
LOGITS = 2 * torch.randn(3, 2, 2, dtype=torch.float64)  # three densities of 2 x 2 pixels


def make(logits):
    return Bernoulli(logits, event_dims=2)


def oracle(logits):
    return torch.distributions.Independent(torch.distributions.Bernoulli(logits=logits, validate_args=False), 2)


def test_masses_sum_to_one():
    check_masses_sum_to_one(make(LOGITS), levels=[0, 1])


def test_samples_follow_the_masses():
    check_sampler_follows_masses(make(LOGITS[0]), levels=[0, 1])


def test_value_and_gradient_match_torch():
    x = torch.randint(2, (3, 2, 2)).double()  # the form is right at 0 and 1 alone, so x itself gets no gradient
    logits = LOGITS.clone().requires_grad_()
    value, expected = make(logits).log_prob(x), oracle(logits).log_prob(x)
    torch.testing.assert_close(value, expected)
    gradients = [torch.autograd.grad((v * torch.linspace(-1, 2, 3)).sum(), logits) for v in (value, expected)]
    torch.testing.assert_close(*gradients)


def test_examples_broadcast_with_logits():
    logits = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    x = torch.randint(2, (3, 2, 2)).double()
    torch.testing.assert_close(make(logits).log_prob(x), oracle(logits).log_prob(x))


def test_samples_keep_the_batch_apart():
    check_broadcasts(make(LOGITS))


def test_mean_is_probability_of_one():
    torch.testing.assert_close(make(LOGITS).mean, oracle(LOGITS).mean)


def test_large_logits_stay_finite():
    logits = torch.tensor([[200.0], [-200.0]], requires_grad=True)
    wrong = Bernoulli(logits, 1).log_prob(torch.tensor([[0.0], [1.0]]))
    assert wrong.tolist() == [-200, -200]
    (gradient,) = torch.autograd.grad(wrong.sum(), logits)
    assert gradient.flatten().tolist() == [-1, 1]
