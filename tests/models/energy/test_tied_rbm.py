import itertools

import numpy as np
import torch

from dgm_run.models.energy.tied_rbm import TiedRBM
from tests.support import energy

COPIES, NUM_PIXELS, NUM_HIDDEN = 2, 3, 2


def make(dtype=torch.float64, visible_copies=COPIES, hidden_copies=2):
    torch.manual_seed(3)
    model = TiedRBM(NUM_PIXELS, NUM_HIDDEN, visible_copies, hidden_copies, init_scale=1.0, visible_bias="logit_mean")
    with torch.no_grad():
        for value in (model.visible_bias, model.hidden_bias, model.base_logits):
            value.normal_()
    return model.to(dtype)


def log_joint(model):
    """Minus the energy of every state of all copies, summed pair by pair, (2^(V D), 2^(U M))."""
    w, (copies, dim) = energy.weights_of(model), model.shape
    x = energy.states(copies * dim).reshape(-1, copies, dim)
    h = energy.states(model.hidden_copies * NUM_HIDDEN).reshape(-1, model.hidden_copies, NUM_HIDDEN)
    total = np.zeros((len(x), len(h)))
    for v, u in itertools.product(range(copies), range(model.hidden_copies)):
        total += x[:, v] @ w["weight"] @ h[:, u].T
    for v in range(copies):
        total += (x[:, v] @ w["visible_bias"])[:, None]
    for u in range(model.hidden_copies):
        total += h[:, u] @ w["hidden_bias"]
    return total


def test_partition_sums_over_copies():
    for visible_copies, hidden_copies in ((2, 1), (1, 2), (2, 2)):
        model = make(visible_copies=visible_copies, hidden_copies=hidden_copies)
        energy.check_partitions(model, log_joint(model))
        energy.check_free_energy(model, log_joint(model))


def test_two_copies_double_the_input():
    model = make(hidden_copies=1)
    x = energy.states(NUM_PIXELS)
    both = torch.tensor(x).unsqueeze(1).expand(-1, 2, -1)
    w = energy.weights_of(model)
    expected = 1 / (1 + np.exp(-(2 * x @ w["weight"] + w["hidden_bias"])))
    np.testing.assert_allclose(model.features(both).detach().numpy(), expected)


def test_biases_start_at_one_copy_means():
    model = TiedRBM(3, 2, 2, 1, init_scale=0.01, visible_bias="logit_mean")
    x = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 1]])
    model.initialize(x.unsqueeze(1).expand(-1, 2, -1))
    torch.testing.assert_close(model.visible_bias.detach(), torch.logit(torch.tensor([6.5, 0.5, 4.5]) / 7))


def test_centering_sums_over_copies():
    model = make()
    x = energy.visible_states(model)
    weights = torch.linspace(-1, 1, len(x), dtype=x.dtype)
    weights -= weights.mean()
    gradient = model.gradient(x, model.preactivations(x), weights)
    state_mean, hidden_mean = torch.rand(6).double(), torch.rand(2).double()
    found = model.center_gradient(gradient, state_mean, hidden_mean)
    mu, lam = state_mean[:3] + state_mean[3:], 2 * hidden_mean
    h = 2 * model.preactivations(x).sigmoid()
    expected = -torch.einsum("n,ni,nj->ij", weights, x.sum(1) - mu, h - lam)
    torch.testing.assert_close(found["weight"], expected)
