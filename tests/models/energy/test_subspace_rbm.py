import math

import numpy as np
import pytest
import torch

from dgm_run.models.energy.rbm import RBM
from dgm_run.models.energy.subspace_rbm import SubspaceRBM
from tests.support import energy

SHAPE, GATES, UNITS = (1, 2, 3), 2, 2


def make(dtype=torch.float64, gates=GATES, units=UNITS):
    torch.manual_seed(4)
    model = SubspaceRBM(SHAPE, gates, units, init_scale=1.0, visible_bias="logit_mean")
    with torch.no_grad():
        for value in (model.visible_bias, model.unit_bias, model.gate_bias, model.base_logits):
            value.normal_()
    return model.to(dtype)


def log_joint(model):
    """-E for every x and every (h, S), (2^D, 2^(M + M K)), term by term."""
    w = energy.weights_of(model)
    gates, units = w["unit_bias"].shape
    weight = w["weight"].reshape(-1, gates, units)
    x, hidden = energy.states(6), energy.states(gates * (units + 1))
    h, s = hidden[:, :gates], hidden[:, gates:].reshape(-1, gates, units)
    links = np.einsum("ijk,ni,mj,mjk->nm", weight, x, h, s)
    return (
        links + (x @ w["visible_bias"])[:, None] + h @ w["gate_bias"] + np.einsum("mj,mjk,jk->m", h, s, w["unit_bias"])
    )


@pytest.mark.parametrize(("gates", "units"), [(1, 2), (2, 1), (2, 3)])  # hidden states are enumerated, or pixels
def test_partition_functions_are_sums_over_all_states(gates, units):
    model = make(gates=gates, units=units)
    energy.check_partitions(model, log_joint(model))
    assert model.log2_states == min(6, gates * np.log2(1 + 2**units))


def test_features_are_the_posterior_of_the_gates():
    model = make()
    joint, h = np.exp(log_joint(model)), energy.states(GATES * (UNITS + 1))[:, :GATES]
    expected = joint @ h / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(model.features(energy.visible_states(model)).detach().numpy(), expected)


def test_with_one_unit_a_gate_it_is_an_rbm_of_other_biases():
    model = make(units=1)
    rbm = RBM(SHAPE, GATES, 0.0, "zero").double()
    with torch.no_grad():
        rbm.weight.copy_(model.weight)
        rbm.visible_bias.copy_(model.visible_bias)
        rbm.hidden_bias.copy_(model.unit_bias.squeeze(1) + model.gate_bias - torch.log(2 + model.gate_bias.exp()))
    shift = torch.log(2 + model.gate_bias.exp()).sum()
    x = energy.visible_states(model)
    torch.testing.assert_close(model.free_energy(x), rbm.free_energy(x) - shift)
    torch.testing.assert_close(model.log_partition(), rbm.log_partition() + shift.detach())


def test_gates_that_are_never_closed_leave_an_rbm_of_all_units():
    model = make()
    rbm = RBM(SHAPE, GATES * UNITS, 0.0, "zero").double()
    with torch.no_grad():
        model.gate_bias.fill_(40.0)
        rbm.weight.copy_(model.weight)
        rbm.visible_bias.copy_(model.visible_bias)
        rbm.hidden_bias.copy_(model.unit_bias.flatten())
    torch.testing.assert_close(energy.probabilities(model), energy.probabilities(rbm))


def test_gates_that_are_never_open_leave_independent_pixels():
    model = make()
    with torch.no_grad():
        model.gate_bias.fill_(-60.0)
    x = energy.visible_states(model).flatten(1)
    b = model.visible_bias.detach()
    expected = x @ b - torch.nn.functional.softplus(b).sum()
    torch.testing.assert_close(energy.log_f(model).log_softmax(0), expected)


def test_gates_start_half_open():
    model = SubspaceRBM(SHAPE, 3, 4, init_scale=0.0, visible_bias="zero")
    torch.testing.assert_close(model.features(torch.ones(2, *SHAPE)), torch.full((2, 3), 0.5))
    assert model.log_base_partition().item() == pytest.approx((6 + 3 * 5) * math.log(2))


@pytest.mark.parametrize("sizes", [(0, 2), (2, 0)])
def test_a_machine_without_gates_or_units_is_refused(sizes):
    with pytest.raises(ValueError, match="must be positive"):
        SubspaceRBM(SHAPE, *sizes, 0.01, "zero")
