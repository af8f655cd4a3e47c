import torch

from dgm_run.networks.resnet import ResidualBlock
from tests.support.contracts import check_every_parameter_gets_a_gradient


def test_block_starts_near_identity():
    torch.manual_seed(0)
    block, x = ResidualBlock(3), torch.randn(2, 3, 6, 6)
    change = block(x) - x
    assert 0 < change.std() < 0.5
    with torch.no_grad():
        block.second.weight.zero_()
        block.second.bias.zero_()
    torch.testing.assert_close(block(x), x)


def test_every_parameter_gets_a_gradient():
    block = ResidualBlock(3)
    check_every_parameter_gets_a_gradient(block, block(torch.randn(2, 3, 6, 6)))
