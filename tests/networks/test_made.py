import pytest
import torch
from contracts import check_every_parameter_gets_a_gradient

from dgm_run.networks.made import MADE


@pytest.mark.parametrize("hidden_dims", [[12], [12, 9]])
def test_each_output_sees_every_input_before_it_and_no_other(hidden_dims):
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


def test_weights_that_a_step_of_the_optimizer_moves_stay_masked():
    network = MADE(3, [6], 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    jacobian = torch.autograd.functional.jacobian(network, torch.randn(3))
    assert not jacobian.triu(0).any()


def test_no_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="hidden_dims"):
        MADE(3, [], 1)
