import torch
from torch.distributions import OneHotCategorical

from dgm_run.distributions.one_hot import OneHot


def test_it_is_torchs_distribution():
    torch.manual_seed(0)
    logits = torch.randn(3, 4, requires_grad=True)
    ours, theirs = OneHot(logits), OneHotCategorical(logits=logits)
    y, log_p = ours.rsample_and_log_prob((500,))
    assert y.shape == (500, 3, 4)
    assert ((y == 0) | (y == 1)).all()
    assert (y.sum(-1) == 1).all()
    torch.testing.assert_close(log_p, theirs.log_prob(y))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.mean, theirs.mean)
    assert torch.autograd.grad(log_p.sum(), logits)[0].any()
    found = ours.sample((20_000,)).mean(0)
    assert (found - ours.mean).abs().max() < 4 * 0.5 / 20_000**0.5


def test_its_parameters_can_be_mapped():
    p = OneHot(torch.randn(3, 4, requires_grad=True))
    assert not p.detach().log_p.requires_grad
    torch.testing.assert_close(p.select(torch.tensor([2, 0])).mean, p.mean[[2, 0]])
