import pytest
import torch

from dgm_run.distributions.implicit import PROPOSAL_SCALE, Implicit


def implicit(batch=2):
    torch.manual_seed(0)
    matrix = torch.randn(batch, 3, 3).double()
    generate = lambda noise: torch.einsum("bij,...bj->...bi", matrix, noise) + 1.0  # noqa: E731
    return Implicit(generate, 3, torch.Size([batch]), 3, torch.zeros(()).double()), matrix


def test_proposal_has_wider_moments():
    q, matrix = implicit()
    covariance = matrix @ matrix.mT
    proposal = q.proposal()
    found = proposal.scale_tril @ proposal.scale_tril.mT / PROPOSAL_SCALE**2
    scale = covariance.diagonal(dim1=-2, dim2=-1).amax(-1).view(-1, 1, 1)
    assert ((found - covariance).abs() < 0.25 * scale).all()
    assert (proposal.mean - 1).abs().max() < 0.5
    assert not proposal.mean.requires_grad


def test_collinear_samples_have_a_density():
    line = Implicit(lambda noise: noise.expand(*noise.shape[:-1], 4), 1, torch.Size([2]), 4, torch.zeros(()))
    z, log_q = line.proposal().rsample_and_log_prob((3,))
    assert z.isfinite().all()
    assert log_q.isfinite().all()


def test_it_has_samples_and_no_density():
    q, _ = implicit()
    assert q.rsample((5,)).shape == (5, 2, 3)
    with pytest.raises(NotImplementedError):
        q.log_prob(torch.zeros(2, 3))
