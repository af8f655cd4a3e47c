import torch

from dgm_run.distributions.batch_expanded import BatchExpanded
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian

P = DiagonalGaussian(torch.tensor([1.0, -2.0]), torch.tensor([0.3, -0.5]))


def test_expanded_density_has_own_samples():
    q = BatchExpanded(P, 3)
    z, log_q = q.rsample_and_log_prob((4,))
    assert (z.shape, log_q.shape, q.batch_shape) == ((4, 3, 2), (4, 3), (3,))
    torch.testing.assert_close(log_q, P.log_prob(z))
    assert len(z.flatten(0, 1).unique(dim=0)) == 12
    torch.testing.assert_close(q.mean, P.mean.expand(3, 2))
    assert q.sample((5,)).shape == (5, 3, 2)
    assert q.proposal_settings == {"proposal": "prior"}
