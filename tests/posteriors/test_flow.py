import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.planar_flow import PlanarFlowPosterior


def test_head_gives_clamped_gaussian():
    torch.manual_seed(0)
    posterior, x = PlanarFlowPosterior(MLPEncoder((4,), [], "gated"), 2, (-1.0, 0.5), 3), torch.rand(50, 4)
    output = x @ posterior.head.weight.T + posterior.head.bias
    base = posterior(x).base
    torch.testing.assert_close(base.mean, output[:, :2])
    torch.testing.assert_close(base.log_var, output[:, 2:4].clamp(-1, 0.5))
    assert (output[:, 2:4] > 0.5).any()
    assert posterior.head.weight[4:].std() < 0.2 * posterior.head.weight[:4].std()
