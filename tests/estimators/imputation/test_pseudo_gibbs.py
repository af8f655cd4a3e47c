import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.corruptions import BitFlip, MissingAtRandom
from dgm_run.estimators.imputation.exact import Exact
from dgm_run.estimators.imputation.pseudo_gibbs import PseudoGibbs
from dgm_run.models.linear.factor_analysis import FactorAnalysis, Moments
from tests.support import truth


@torch.no_grad()
def test_exact_posterior_gives_gibbs():
    # factor analysis of the digits with half of their pixels missing, after as many sweeps as uses.md takes
    data = instantiate(dgm_run.compose("dataset.binarize=none", "dataset.dequantize=true").dataset).load()
    torch.manual_seed(0)
    model = FactorAnalysis((1, 8, 8), 10, 0.02, 0.0)
    model.initialize(data.train.batch(slice(None)))
    moments = Moments.from_batches(data.train.batches(500))
    for _ in range(100):
        model.em_step(moments)
    missing = MissingAtRandom(0.5)
    x = data.test.batch(slice(0, 100))
    x_tilde = missing(x)
    exact = Exact()(model, x_tilde, missing, 19)
    found = PseudoGibbs(2000, 200)(model, x_tilde, missing, 19)
    gap = (found.mean - exact.mean)[x_tilde.isnan()].square().mean().sqrt().item()
    assert gap < 0.01
    missing = x_tilde.isnan()
    error, of_draw = ((guess - x)[missing].square().mean().item() for guess in (found.mean, found.draws[3]))
    assert error == pytest.approx(0.038, abs=0.004)  # .0382 in uses.md, on another split
    assert of_draw == pytest.approx(2 * error, rel=0.15)


@torch.no_grad()
def test_equilibrium_matches_transitions():
    # it alternates q(z | x) and p(x | z, x~): the chain on the four values of the two missing, by quadrature over z
    model = truth.binary_vae()
    grid = torch.tensor(truth.GRID, dtype=torch.float32).unsqueeze(1)
    states = [torch.tensor([[[[1.0, a, 0.0, b]]]]) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    p = model.decode(grid).mean.flatten(1).double().numpy()  # (G, 4)
    ends = np.stack([np.abs(1 - a - p[:, 1]) * np.abs(1 - b - p[:, 3]) for a in (0, 1) for b in (0, 1)], 1)
    rows = [model.infer(x).log_prob(grid).exp().double().numpy() @ ends for x in states]
    transition = np.stack(rows) / np.stack(rows).sum(1, keepdims=True)
    values, vectors = np.linalg.eig(transition.T)
    equilibrium = np.real(vectors[:, np.argmax(np.real(values))])
    equilibrium /= equilibrium.sum()
    torch.manual_seed(0)
    x_tilde = truth.OBSERVED.expand(4000, -1, -1, -1)
    found = PseudoGibbs(60, 20)(model, x_tilde, MissingAtRandom(0.5), 2)
    mean = found.mean.mean(0).flatten().tolist()
    assert mean[0] == 1
    assert mean[2] == 0
    assert mean[1] == pytest.approx(equilibrium[2] + equilibrium[3], abs=0.005)
    assert mean[3] == pytest.approx(equilibrium[1] + equilibrium[3], abs=0.005)
    assert found.draws.shape == (2, 4000, 1, 1, 4)
    assert found.log_p is None


def test_a_chain_needs_steps_that_count():
    with pytest.raises(ValueError, match="burn_in = 5 must lie between 0 and num_steps = 5"):
        PseudoGibbs(5, 5)
    assert PseudoGibbs(5, 4).supports(truth.binary_vae(), BitFlip(0.1))
