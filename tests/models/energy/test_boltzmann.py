import numpy as np
import torch

from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.boltzmann import Boltzmann
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.exact_likelihood import ExactLikelihood
from tests.support import energy

SHAPE = (1, 2, 2)


def make(dtype=torch.float64):
    torch.manual_seed(6)
    model = Boltzmann(SHAPE, init_scale=1.5, visible_bias="logit_mean")
    with torch.no_grad():
        model.visible_bias.normal_()
        model.base_logits.normal_()
    return model.to(dtype)


def log_joint(model):
    """x'Wx / 2 + b'x over all pairs i < j, (2^D, 1)."""
    w, x = energy.weights_of(model), energy.states(4)
    total = x @ w["visible_bias"]
    for i in range(4):
        for j in range(i):
            total += (w["raw_weight"][i, j] + w["raw_weight"][j, i]) / 2 * x[:, i] * x[:, j]
    return total[:, None]


def test_partition_matches_enumeration():
    energy.check_partitions(make(), log_joint(make()))


def test_preactivations_are_log_odds():
    model = make()
    p = np.exp(log_joint(model))[:, 0]
    x = energy.states(4)
    preactivations = model.preactivations(energy.visible_states(model)).detach().numpy()
    for row, state in enumerate(x):
        for i in range(4):
            on, off = state.copy(), state.copy()
            on[i], off[i] = 1, 0
            places = [int((x == s).all(1).argmax()) for s in (on, off)]
            np.testing.assert_allclose(preactivations[row, i], np.log(p[places[0]] / p[places[1]]))


def test_exact_fit_matches_pair_moments():
    # the log-likelihood is concave, and at its maximum model and data agree in E x_i and E x_i x_j
    torch.manual_seed(0)
    model = make()
    data = energy.visible_states(model)[torch.multinomial(torch.rand(16, dtype=torch.float64), 400, replacement=True)]
    objective = ExactLikelihood(Exact(20), 0.0, None, None, None, 0.0)
    progress = Progress(torch.tensor(0.0), objective.init_state(model, data))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss, _ = objective(model, data, progress)
        loss.backward()
        return loss

    optimizer.step(closure)
    x, p = energy.visible_states(model).flatten(1), energy.probabilities(model)
    flat = data.flatten(1)
    torch.testing.assert_close(x.T @ (x * p.unsqueeze(1)), flat.T @ flat / len(flat), atol=1e-4, rtol=0)


def test_a_sweep_is_reversible():
    # it goes up or down by chance: as many chains go from one state to another as the other way round
    model = make(torch.float32)
    x, p = energy.visible_states(model), energy.probabilities(model)
    counts, num_pixels = torch.zeros(16, 16), 4
    for _ in range(400):  # one direction for a whole batch
        start = x[torch.multinomial(p, 1000, replacement=True)]
        end = model.gibbs_step(start, model.preactivations(start))
        pairs = energy.index_of(start) * 2**num_pixels + energy.index_of(end)
        counts += torch.bincount(pairs, minlength=256).view(16, 16)
    both = counts + counts.T
    frequent = both > 2000
    difference = (counts - counts.T)[frequent] / both[frequent]
    assert difference.abs().max() < 0.25  # one direction alone reaches 0.7
