"""Parts of one's own, as in examples/: each against an oracle, and all of them through the command."""

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from dgm_run.data.dataset import DataSplit, to_float
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.estimators.likelihood.ais import AIS
from tests.support.tiny import TINY, run_here

EXAMPLES = Path(__file__).parents[1] / "examples"
SHAPE = (1, 2, 3)
STATES = np.array(list(itertools.product([0.0, 1.0], repeat=6))).reshape(-1, *SHAPE)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in ("student_t", "mmd", "ising", "mutual_information"):
        sys.modules.pop(name, None)


def ising():
    from ising import Ising

    torch.manual_seed(0)
    model = Ising(SHAPE).double()
    model.initialize(torch.bernoulli(torch.full((100, *SHAPE), 0.4)).double())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def log_joint(model, x, beta=1.0):
    """log f_beta of one state in NumPy, link by link."""
    bias, across, down = (each.detach().numpy() for each in (model.bias, model.across, model.down))
    x = x[0]
    biases = (1 - beta) * model.base_logits.numpy() + beta * bias
    links = sum(across[i, j] * x[i, j] * x[i, j + 1] for i in range(2) for j in range(2))
    links += sum(down[0, j] * x[0, j] * x[1, j] for j in range(3))
    return (biases * x).sum() + beta * links


def test_student_t_density():
    from student_t import StudentTPrior

    prior = StudentTPrior(3, 4.0)
    with torch.no_grad():
        prior.log_scale.copy_(torch.tensor([0.0, 0.5, -1.0]))
    z = torch.randn(5, 3)
    expected = stats.t(4.0, scale=np.exp([0.0, 0.5, -1.0])).logpdf(z.numpy()).sum(1)
    np.testing.assert_allclose(prior(None).log_prob(z).detach(), expected, rtol=1e-5)


def test_mmd_of_two_points():
    from mmd import squared_mmd

    x, y = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 2.0]])
    assert squared_mmd(x, y).item() == pytest.approx(2 - 2 * math.exp(-5 / 2))
    assert squared_mmd(y, y).item() == pytest.approx(0.0)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_ising_log_density(beta):
    model, x = ising(), torch.tensor(STATES)
    found = model.log_unnormalized(x, model.preactivations(x), beta).detach()
    np.testing.assert_allclose(found, [log_joint(model, state, beta) for state in STATES], atol=1e-12)


def test_ising_sweep_keeps_its_distribution():
    model = ising()
    log_f = np.array([log_joint(model, state, 0.7) for state in STATES])
    p = np.exp(log_f - np.logaddexp.reduce(log_f))
    x = torch.tensor(STATES)[torch.multinomial(torch.tensor(p), 50_000, replacement=True)]
    with torch.no_grad():
        x = model.gibbs_step(x, model.preactivations(x), 0.7)
    counts = np.bincount((x.flatten(1).numpy() @ 2 ** np.arange(5, -1, -1)).astype(int), minlength=64)
    assert stats.chisquare(counts, 50_000 * p).pvalue > 1e-3


def test_ising_log_partition():
    model = ising()
    exact = np.logaddexp.reduce([log_joint(model, state) for state in STATES])
    assert AIS(200, 300, "linear")(model).value == pytest.approx(exact, abs=0.05)


def test_information_of_separate_codes():
    from mutual_information import MutualInformation

    class Code(torch.nn.Module):
        def infer(self, x):
            return DiagonalGaussian(self.scale * x, torch.zeros_like(x))

    model, data = Code(), DataSplit(torch.arange(8.0).unsqueeze(1), None, to_float)
    model.scale = 100.0
    assert MutualInformation(3, 5)(model, data)[0].value == pytest.approx(math.log(8), abs=0.01)
    model.scale = 0.0
    assert MutualInformation(3, 5)(model, data)[0].value == pytest.approx(0.0, abs=1e-6)


def test_examples_run(tmp_path, monkeypatch, capfd):
    options = ["--config-dir", str(EXAMPLES / "conf"), "prior=student_t", "objective=mmd"]
    options += ["estimators=[mutual_information]", *[each for each in TINY if "importance_sampling" not in each]]
    done = run_here("main", [*options, f"hydra.run.dir={tmp_path / 'run'}"], EXAMPLES, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert "mutual_information" in done.stdout
