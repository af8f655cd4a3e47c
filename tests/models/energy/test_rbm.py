import numpy as np
import pytest
import torch

from dgm_run.models.energy.rbm import RBM
from tests.support import energy

SHAPE, NUM_HIDDEN = (1, 2, 3), 3


def make(dtype=torch.float64, num_hidden=NUM_HIDDEN):
    torch.manual_seed(2)
    model = RBM(SHAPE, num_hidden, init_scale=1.0, visible_bias="logit_mean")
    with torch.no_grad():
        for value in (model.visible_bias, model.hidden_bias, model.base_logits):
            value.normal_()
    return model.to(dtype)


def log_joint(model):
    """x'Wh + b'x + c'h for every x and h, (2^D, 2^M)."""
    w = energy.weights_of(model)
    x, h = energy.states(len(w["visible_bias"])), energy.states(len(w["hidden_bias"]))
    return x @ w["weight"] @ h.T + (x @ w["visible_bias"])[:, None] + h @ w["hidden_bias"]


@pytest.mark.parametrize("num_hidden", [3, 8])  # one side is enumerated, then the other
def test_partition_functions_are_sums_over_all_states(num_hidden):
    model = make(num_hidden=num_hidden)
    energy.check_partitions(model, log_joint(model))
    assert model.log2_states == min(6, num_hidden)


def test_features_are_the_posterior_of_the_hidden_units():
    model = make()
    joint = np.exp(log_joint(model))
    expected = joint @ energy.states(NUM_HIDDEN) / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(model.features(energy.visible_states(model)).detach().numpy(), expected)


def test_reconstructions_average_to_the_mean_after_half_a_sweep():
    model = make()
    x = energy.visible_states(model)[11:12]
    w, h = energy.weights_of(model), energy.states(NUM_HIDDEN)
    joint = np.exp(log_joint(model)[11])
    means = 1 / (1 + np.exp(-(h @ w["weight"].T + w["visible_bias"])))  # (H, D)
    expected = joint @ means / joint.sum()
    found = model.reconstruct(x.expand(200_000, *SHAPE)).flatten(1)
    error = found.std(0).numpy() / 200_000**0.5
    assert (np.abs(found.mean(0).numpy() - expected) < 5 * error).all()


def test_visible_biases_start_at_the_logits_of_the_means_or_at_zero():
    x = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 1]])
    expected = torch.logit(torch.tensor([3.5, 0.5, 2.5]) / 4)
    for start, bias in (("logit_mean", expected), ("zero", torch.zeros(3))):
        model = RBM((3,), 2, init_scale=0.01, visible_bias=start)
        model.initialize(x)
        torch.testing.assert_close(model.visible_bias.detach(), bias)
        torch.testing.assert_close(model.base_logits, expected)


def test_a_machine_without_hidden_units_is_refused():
    with pytest.raises(ValueError, match="num_hidden = 0"):
        RBM(SHAPE, 0, 0.01, "zero")


def test_a_pixel_that_contradicts_a_certain_one_counts_in_full():
    model = RBM((1,), 1, 0.0, "zero")
    with torch.no_grad():
        model.visible_bias.fill_(40.0)
    x = torch.zeros(1, 1)
    torch.testing.assert_close(model.reconstruction_error(x, model.preactivations(x)).detach(), torch.tensor([40.0]))
