import pytest
import torch

from dgm_run.networks.made import MADE
from tests.support.contracts import check_every_parameter_gets_a_gradient


@pytest.mark.parametrize("hidden_dims", [[12], [12, 9]])
def test_outputs_see_preceding_inputs(hidden_dims):
    torch.manual_seed(0)
    network = MADE(5, hidden_dims, 3)
    jacobian = torch.autograd.functional.jacobian(network, torch.randn(5))  # (P, L, L)
    assert not jacobian.triu(0).any()
    assert jacobian.tril(-1)[:, *torch.tril_indices(5, 5, -1)].abs().min() > 0


def test_the_context_reaches_every_output():
    torch.manual_seed(0)
    network = MADE(4, [8], 2, 3)
    jacobian = torch.autograd.functional.jacobian(lambda c: network(torch.randn(4), c), torch.randn(3))
    assert jacobian.abs().amin() > 0  # (P, L, C)
    check_every_parameter_gets_a_gradient(network, network(torch.randn(6, 4), torch.randn(6, 3)))


def test_masked_weights_stay_masked():
    network = MADE(3, [6], 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    jacobian = torch.autograd.functional.jacobian(network, torch.randn(3))
    assert not jacobian.triu(0).any()


@pytest.mark.parametrize("hidden_dims", [[], [1], [5, 1]])
def test_narrow_layers_are_refused(hidden_dims):
    with pytest.raises(ValueError, match="over 3 dimensions needs hidden layers of at least 2 units"):
        MADE(3, hidden_dims, 1)
