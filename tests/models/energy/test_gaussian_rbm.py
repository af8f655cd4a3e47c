import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import kstest

from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.estimators.likelihood.partition import Exact
from dgm_run.models.energy.gaussian_rbm import GaussianRBM
from dgm_run.objectives.base import Progress
from dgm_run.objectives.energy.contrastive_divergence import ContrastiveDivergence
from tests.support import energy

SHAPE, NUM_HIDDEN = (2, 1), 3


def make(dtype=torch.float64, learn_variance=True, min_scale=0.05):
    torch.manual_seed(5)
    model = GaussianRBM(SHAPE, NUM_HIDDEN, 1.0, None, learn_variance, min_scale=0.05)
    with torch.no_grad():
        for value in (model.visible_bias, model.hidden_bias, model.data_mean):
            value.normal_()
        model.log_var.copy_(torch.tensor([0.3, -0.5]))
        model.data_scale.copy_(torch.tensor([0.7, 1.6]))
    return model.to(dtype)


def log_joint(model, x):
    """-E(x, h) for rows x and every h, (N, 2^M)."""
    w, h = energy.weights_of(model), energy.states(NUM_HIDDEN)
    u = (x - w["data_mean"]) / w["data_scale"]
    var = np.exp(w["log_var"])
    quadratic = ((u - w["visible_bias"]) ** 2 / (2 * var)).sum(1, keepdims=True)
    return -quadratic + (u / var) @ w["weight"] @ h.T + h @ w["hidden_bias"]


def mixture(model, beta=1.0):
    """Weights, means and standard deviations of x given h under f_beta, found by completing the square."""
    w, h = energy.weights_of(model), energy.states(NUM_HIDDEN)
    var, b = np.exp(w["log_var"]), beta * w["visible_bias"]
    shift = beta * h @ w["weight"].T
    log_weight = beta * h @ w["hidden_bias"] + ((shift**2 + 2 * b * shift) / (2 * var)).sum(1)
    means = w["data_mean"] + w["data_scale"] * (b + shift)
    return np.exp(log_weight - logsumexp(log_weight)), means, w["data_scale"] * np.sqrt(var)


def draws(model, beta, n):
    p, means, scale = mixture(model, beta)
    generator = np.random.default_rng(0)
    h = generator.choice(len(p), n, p=p)
    return means[h] + scale * generator.standard_normal((n, 2))


def points(n=50):
    return np.random.default_rng(1).normal(size=(n, 2)) * 3


def as_tensor(x, model):
    return torch.tensor(x, dtype=model.weight.dtype).view(-1, *SHAPE)


def check_follows(found, model, beta):
    """Kolmogorov-Smirnov along several directions, against exact draws; fails once in a million."""
    expected = draws(model, beta, 100_000)
    found = found.detach().flatten(1).double().numpy()
    for direction in ([1, 0], [0, 1], [1, 1], [1, -1]):
        assert kstest(found @ direction, expected @ direction).pvalue > 1e-6


def test_free_energy_sums_hidden_units():
    model, x = make(), points()
    expected = -logsumexp(log_joint(model, x), axis=1) + np.log(energy.weights_of(model)["data_scale"]).sum()
    np.testing.assert_allclose(model.free_energy(as_tensor(x, model)).detach().numpy(), expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_path_densities_have_their_mass(beta):
    model = make()
    axis = np.arange(-40, 40, 0.1)
    x = as_tensor(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), model)
    with torch.no_grad():
        total = model.log_unnormalized(x, model.preactivations(x), beta).logsumexp(0) + 2 * math.log(0.1)
    if beta == 0.0:
        torch.testing.assert_close(total, model.log_base_partition())
    if beta == 1.0:
        torch.testing.assert_close(total, model.log_partition())
    p, means, scale = mixture(model, beta)
    at = points(5)
    log_normal = -0.5 * (((at[:, None] - means) / scale) ** 2 + np.log(2 * np.pi * scale**2)).sum(-1)
    expected = logsumexp(log_normal + np.log(p), axis=1)
    y = as_tensor(at, model)
    found = (model.log_unnormalized(y, model.preactivations(y), beta) - total).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_beta_may_differ_by_row():
    model = make()
    x, betas = as_tensor(points(7), model), torch.linspace(0, 1, 7, dtype=torch.float64)
    expected = torch.cat(
        [model.log_unnormalized(x[[i]], model.preactivations(x[[i]]), float(b)) for i, b in enumerate(betas)]
    )
    torch.testing.assert_close(model.log_unnormalized(x, model.preactivations(x), betas), expected)
    assert model.gibbs_step(x, model.preactivations(x), betas).shape == x.shape


@pytest.mark.parametrize("learn_variance", [True, False])
def test_gradient_matches_autograd(learn_variance):
    model = make(learn_variance=learn_variance, min_scale=0.05)
    x = as_tensor(points(), model)
    weights = torch.linspace(-1, 2, len(x), dtype=x.dtype)
    by_hand = model.gradient(x, model.preactivations(x).detach(), weights)
    parameters = dict(model.named_parameters())
    assert set(by_hand) == set(parameters)
    assert ("log_var" in parameters) == learn_variance
    expected = torch.autograd.grad(weights @ model.free_energy(x), list(parameters.values()))
    for name, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(by_hand[name], value.detach(), msg=name)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gibbs_keeps_every_path_density(beta):
    torch.manual_seed(0)
    model = make()
    x = as_tensor(draws(model, beta, 50_000), model)
    with torch.no_grad():
        check_follows(model.gibbs_step(x, model.preactivations(x), beta), model, beta)


def test_chains_reach_the_model():
    torch.manual_seed(0)
    model = make()
    check_follows(model.sample_base(50_000), model, 0.0)
    check_follows(model.sample(50_000, num_steps=200), model, 1.0)


def test_ais_weight_is_unbiased():
    model = make()
    torch.manual_seed(0)
    w = AIS(100_000, 6, "linear").log_weights(model).exp()
    truth = (model.log_partition() - model.log_base_partition()).exp()
    assert abs(w.mean() - truth) < 5 * w.std() / math.sqrt(len(w))


def test_missing_pixel_follows_conditional():
    torch.manual_seed(0)
    model = make()
    start = torch.full((20_000, *SHAPE), 0.4, dtype=torch.float64)
    found = energy.after(100, model.iterate_completions(start, torch.tensor([[True], [False]]))).flatten(1)
    assert (found[:, 0] == 0.4).all()
    p, means, scale = mixture(model)
    p = p * np.exp(-0.5 * ((0.4 - means[:, 0]) / scale[0]) ** 2)
    generator = np.random.default_rng(0)
    h = generator.choice(len(p), 100_000, p=p / p.sum())
    expected = means[h, 1] + scale[1] * generator.standard_normal(100_000)
    assert kstest(found[:, 1].numpy(), expected).pvalue > 1e-6


def test_baseline_is_independent_gaussian():
    model = make()
    x = torch.randn(500, *SHAPE, dtype=torch.float64) * torch.tensor([[2.0], [0.5]]) + 3
    model.initialize(x)
    flat = x.flatten(1)
    expected = torch.distributions.Normal(flat.mean(0), flat.std(0)).log_prob(flat).sum(1)
    torch.testing.assert_close(model.log_baseline(x), expected)


def test_data_units_add_the_jacobian():
    x = torch.randn(300, *SHAPE, dtype=torch.float64) * torch.tensor([[2.0], [0.5]]) + 3
    log_p = []
    for scale in (1.0, 10.0):
        model = make()
        model.initialize(scale * x)
        log_p.append(-model.free_energy(scale * x) - model.log_partition())
    torch.testing.assert_close(log_p[1], log_p[0] - 2 * math.log(10))


def test_centered_gradient_ignores_offset():
    # a model of x + shift, standardised by hand to the same density, moves to the same density
    weights = torch.tensor([0.5, 0.5, -0.3, -0.7], dtype=torch.float64)
    after = []
    for shift in (0.0, 2.0):
        model = make()
        with torch.no_grad():
            model.data_mean.sub_(shift * model.data_scale)
            model.hidden_bias.sub_((shift * torch.exp(-model.log_var)) @ model.weight)
            model.visible_bias.add_(shift)
        x = as_tensor(points(4), model)
        gradient = model.gradient(x, model.preactivations(x), weights)
        mean, hidden = x[:2].flatten(1).mean(0), model.features(x[:2]).mean(0)
        gradient = model.center_gradient({k: g for k, g in gradient.items() if k != "log_var"}, mean, hidden)
        with torch.no_grad():
            for name, g in gradient.items():
                getattr(model, name).sub_(0.1 * g)
            after.append(-model.free_energy(x) - model.log_partition())
    torch.testing.assert_close(*after)


@pytest.mark.slow
def test_student_learns_teacher_density():
    torch.manual_seed(0)
    teacher = make(torch.float32)
    with torch.no_grad():
        # four clusters of the same weight, six standard deviations apart
        teacher.weight.copy_(torch.tensor([[6.0, 0, 0], [0, 6, 0]]))
        teacher.hidden_bias.copy_(torch.tensor([-18.0, -18, 0]))
        teacher.log_var.zero_()
        teacher.visible_bias.zero_()
    x = as_tensor(draws(teacher, 1.0, 10_000), teacher)
    student = GaussianRBM(SHAPE, 4, init_scale=0.5, init_ratio=None, learn_variance=True, min_scale=0.05)
    student.initialize(x)
    objective = ContrastiveDivergence(Exact(20), 0.0, None, None, None, 0.0, 10, None)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 3000)
    for _ in range(3000):
        batch = x[torch.randint(len(x), (500,))]
        optimizer.zero_grad()
        objective(student, batch, Progress(torch.tensor(0.0), {}))[0].backward()
        optimizer.step()
        schedule.step()
    test = as_tensor(draws(teacher, 1.0, 10_000), teacher)
    gap = [(-model.free_energy(test) - model.log_partition()).mean().item() for model in (teacher, student)]
    assert gap[0] - gap[1] < 0.05
    assert gap[0] - student.log_baseline(test).mean().item() > 0.5


def test_init_ratio_sets_components():
    torch.manual_seed(0)
    model = GaussianRBM(SHAPE, NUM_HIDDEN, init_scale=2.0, init_ratio=0.1, learn_variance=True, min_scale=0.05)
    p, _, _ = mixture(model)
    one = energy.states(NUM_HIDDEN).sum(1) == 1
    np.testing.assert_allclose(p[one] / p[0], 0.1, rtol=1e-4)  # single precision
    assert model.hidden_bias.requires_grad


@pytest.mark.parametrize(
    ("change", "told"), [({"num_hidden": 0}, "num_hidden = 0"), ({"init_ratio": 0.0}, "init_ratio")]
)
def test_what_makes_no_machine_is_refused(change, told):
    good = {"num_hidden": 2, "init_scale": 0.01, "init_ratio": None, "learn_variance": True, "min_scale": 0.05}
    with pytest.raises(ValueError, match=told):
        GaussianRBM(SHAPE, **good | change)


def test_scales_stop_at_their_limit():
    model = make()
    with torch.no_grad():
        model.log_var[0] = -20.0
    rest = model.log_var[1:].detach().clone()
    model.project_parameters()
    assert torch.exp(0.5 * model.log_var[0]).item() == pytest.approx(0.05)
    torch.testing.assert_close(model.log_var[1:].detach(), rest)
    with pytest.raises(ValueError, match="min_scale = 0"):
        GaussianRBM(SHAPE, 3, 0.01, None, True, 0.0)
