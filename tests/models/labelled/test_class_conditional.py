import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

import dgm_run
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.errors import ConfigError
from dgm_run.estimators.labels.classification import Classification
from dgm_run.models.labelled.class_conditional import ClassConditional
from dgm_run.models.linear.factor_analysis import FactorAnalysis
from dgm_run.models.linear.ppca import PPCA
from tests.support.tiny import SHORT

pytestmark = pytest.mark.usefixtures("double")
SHAPE, K = (1, 1, 5), 3


def data(n=600, seed=0):
    """Examples of three classes of different shares, means and shapes."""
    generator = np.random.default_rng(seed)
    fixed = np.random.default_rng(7)
    means, weights = fixed.normal(0, 1.5, (K, 5)), fixed.normal(size=(K, 5, 2))
    y = generator.choice(K, n, p=[0.5, 0.3, 0.2])
    x = means[y] + np.einsum("nij,nj->ni", weights[y], generator.normal(size=(n, 2))) + generator.normal(0, 0.7, (n, 5))
    return DataSplit(torch.tensor(x).view(-1, *SHAPE), torch.tensor(y), to_float)


def fit(part=PPCA, num_steps=300, train=None):
    torch.manual_seed(0)
    train = train or data()
    model = ClassConditional(K, lambda: part(SHAPE, 2, 0.01, 0.0)).double()
    model.initialize(train.batch(slice(None)))
    statistics = model.compute_statistics(train)
    seen = torch.stack([model.em_step(statistics) for _ in range(num_steps)])
    assert (seen.diff()[1:] > -1e-9).all()  # the first step also sets the shares of the classes
    return model.eval(), train


def dense(model, x):
    """log p(x, y) by scipy, (N, K)."""
    columns = []
    for part, log_p in zip(model.parts, model.log_p_label.tolist(), strict=True):
        p = part.density
        weight, noise = p.weight.detach().numpy(), p.log_var.exp().detach().numpy()
        columns.append(multivariate_normal(p.bias.detach(), weight @ weight.T + np.diag(noise)).logpdf(x) + log_p)
    return np.stack(columns, 1)


@torch.no_grad()
@pytest.mark.parametrize("part", [PPCA, FactorAnalysis])
def test_labels_follow_bayes_rule(part):
    model, _ = fit(part, num_steps=20)
    x = data(50, seed=1).x
    joint = dense(model, x.flatten(1).numpy())
    assert model.log_joint(x, 1).T.numpy() == pytest.approx(joint, abs=1e-9)
    assert model.classify(x).exp().numpy() == pytest.approx(softmax(joint, 1), abs=1e-9)
    assert model.log_prob(x).numpy() == pytest.approx(np.logaddexp.reduce(joint, 1), abs=1e-9)


def test_parts_fit_their_classes():
    model, train = fit()
    x, y = train.x.flatten(1).numpy(), train.y.numpy()
    for k, part in enumerate(model.parts):
        best = PCA(2).fit(x[y == k]).score(x[y == k])  # of PPCA, in closed form; its noise is divided by n - 1
        with torch.no_grad():
            assert part.log_prob(train.x[train.y == k]).mean().item() == pytest.approx(best, abs=0.001)
    assert model.log_p_label.exp().tolist() == pytest.approx(np.bincount(y) / len(y))


def test_labels_that_may_not_be_used_are_not():
    train = data()
    train.labelled = torch.arange(100)
    shares, moments = ClassConditional(K, lambda: PPCA(SHAPE, 2, 0.01, 0.0)).compute_statistics(train)
    y, x = train.y[:100], train.x[:100].flatten(1)
    assert shares.tolist() == pytest.approx((torch.bincount(y) / 100).tolist())
    torch.testing.assert_close(moments[1].mean, x[y == 1].mean(0))
    train.labelled = (train.y != 2).nonzero().flatten()
    with pytest.raises(ValueError, match="class 2 has 0 labelled examples and needs two or more"):
        ClassConditional(K, lambda: PPCA(SHAPE, 2, 0.01, 0.0)).compute_statistics(train)


def test_samples_have_class_frequencies():
    model, train = fit(num_steps=50)
    torch.manual_seed(0)
    x = model.sample(20_000).flatten(1)
    expected = train.x.flatten(1).mean(0)
    torch.testing.assert_close(x.mean(0), expected, rtol=0, atol=0.1)
    shown = model.decode_class_means(4, train.x)
    assert shown.shape == (12, *SHAPE)
    codes = []
    for part, rows in zip(model.parts, shown.split(4), strict=True):  # each lies on the plane of its class
        center, *ends = part.decode(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).mean.flatten(1).double()
        plane = torch.stack(ends) - center
        z = torch.linalg.lstsq(plane.T, (rows.flatten(1).double() - center).T).solution.T  # (4, 2)
        torch.testing.assert_close(center + z @ plane, rows.flatten(1).double(), rtol=0, atol=1e-4)
        codes.append(z)
    assert len(codes[0].unique(dim=0)) == 4
    for z in codes[1:]:  # at the same codes
        torch.testing.assert_close(z, codes[0], rtol=0, atol=1e-3)


def test_errors_and_risks_are_those_of_bayes():
    model, train = fit()
    test = data(400, seed=2)
    estimator = Classification(1, 1000).fit(model, train, train)
    rows = {(row.quantity, row.estimator): row for row in estimator(model, test)}
    wrong = dense(model, test.x.flatten(1).numpy()).argmax(1) != test.y.numpy()
    assert rows["error", "q(y|x)"].value == pytest.approx(100 * wrong.mean())
    assert rows["error_joint", "p(x,y)"].value == rows["error", "q(y|x)"].value
    plot = estimator.plots()["risk_coverage"]
    assert plot.shape[2] == 3
    assert plot.std() > 10


def test_a_run_needs_labels_of_every_class(tmp_path):
    overrides = ("model=class_conditional_ppca", "model.part.latent_dim=2", "trainer.max_epochs=3")
    found = dgm_run.run(dgm_run.compose(*overrides, "dataset.num_labels=100"), tmp_path / "a")
    assert {"log_likelihood", "error"} <= {row["quantity"] for row in found["estimates"]}
    with pytest.raises(ConfigError, match=r"class 0 has 1 labelled examples and needs two or more"):
        dgm_run.run(dgm_run.compose(*overrides, "dataset.num_labels=10"), tmp_path / "b")


def test_trainer_without_labels_is_refused(tmp_path):
    overrides = ("model=class_conditional_ppca", "dataset.binarize=none", "dataset.dequantize=true", *SHORT)
    with pytest.raises(ConfigError, match="ClassConditional learns from labels: choose trainer=em"):
        dgm_run.run(dgm_run.compose(*overrides, "trainer=gradient"), tmp_path)
