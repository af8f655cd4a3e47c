"""Checks that every density, likelihood and network has to pass. None shares code with what it checks."""

from collections.abc import Callable, Sequence

import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.flow import Step

Oracle = torch.distributions.Distribution


def grid(half_width: float, num_points: int, dim: int) -> tuple[Tensor, float]:
    """Centres (N, dim) of the cells that cut the cube [-half_width, half_width]^dim, and their volume."""
    width = 2 * half_width / num_points
    axis = (torch.arange(num_points, dtype=torch.float64) + 0.5) * width - half_width
    return torch.cartesian_prod(*[axis] * dim).reshape(-1, dim), width**dim


def all_values(levels: Sequence[float], shape: Sequence[int]) -> Tensor:
    """Returns every example of this shape with elements among the levels, (len(levels)^D, *shape), float64."""
    num_elements = torch.Size(shape).numel()
    axis = torch.tensor(levels, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * num_elements).reshape(-1, *shape)


def check_density_integrates_to_one(p: Distribution, half_width: float = 12.0, num_points: int = 480) -> None:
    """Checks each density of the batch, over one or two dimensions, by a sum over cells."""
    points, volume = grid(half_width, num_points, p.event_shape.numel())
    points = points.reshape(-1, *(1,) * len(p.batch_shape), *p.event_shape)
    total = p.log_prob(points).exp().sum(0) * volume
    torch.testing.assert_close(total, torch.ones(p.batch_shape, dtype=torch.float64), rtol=0, atol=1e-6)


def check_masses_sum_to_one(p: Distribution, levels: Sequence[float]) -> None:
    """Checks each mass function of the batch by enumeration."""
    x = all_values(levels, p.event_shape).reshape(-1, *(1,) * len(p.batch_shape), *p.event_shape)
    total = p.log_prob(x).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(p.batch_shape, dtype=torch.float64), rtol=0, atol=1e-9)


def check_frequencies(counts: Tensor, probabilities: Tensor) -> None:
    """Chi-squared test of counts; cells that expect fewer than ten, and all beyond the cells, are pooled."""
    num_samples = counts.sum()
    common = probabilities * num_samples >= 10
    rest = (1 - probabilities[common].sum()).clamp(min=1e-12).reshape(1)
    expected = torch.cat([probabilities[common], rest]) * num_samples
    observed = torch.cat([counts[common], counts[~common].sum().reshape(1)])
    statistic = ((observed - expected).square() / expected.clamp(min=1)).sum().item()
    assert scipy.stats.chi2.sf(statistic, len(expected) - 1) > 1e-6


def check_sampler_follows_density(
    p: Distribution, half_width: float = 6.0, num_bins: int = 16, num_samples: int = 20_000
) -> None:
    """Histogram of one density of one or two dimensions against its integral over each bin."""
    dim = p.event_shape.numel()

    def bin_of(z: Tensor) -> Tensor:
        position = ((z.reshape(-1, dim) + half_width) / (2 * half_width) * num_bins).floor().long()
        inside = ((position >= 0) & (position < num_bins)).all(-1)
        index = sum(position[:, i] * num_bins**i for i in range(dim))
        return torch.where(inside, index, num_bins**dim)

    points, volume = grid(half_width, num_bins * 20, dim)
    mass = p.log_prob(points.reshape(-1, *p.event_shape)).exp().detach() * volume
    probabilities = torch.bincount(bin_of(points), mass, minlength=num_bins**dim + 1)
    torch.manual_seed(0)
    counts = torch.bincount(bin_of(p.sample((num_samples,))), minlength=num_bins**dim + 1)
    check_frequencies(counts.double(), probabilities)


def check_sampler_follows_masses(p: Distribution, levels: Sequence[float], num_samples: int = 20_000) -> None:
    """Frequencies of every example of one small mass function against its probabilities."""
    x = all_values(levels, p.event_shape).flatten(1)
    torch.manual_seed(0)
    draws = p.sample((num_samples,)).flatten(1)
    distance = torch.cdist(draws.double(), x, p=1)
    assert distance.min(1).values.max() < 1e-6, "a sample is none of the levels"
    counts = torch.bincount(distance.argmin(1), minlength=len(x))
    check_frequencies(counts.double(), p.log_prob(x.reshape(-1, *p.event_shape)).exp().detach())


def check_moments(p: Distribution, mean: Tensor, covariance: Tensor, num_samples: int = 50_000) -> None:
    """Mean and covariance of Gaussian samples, (*batch, L), within five standard errors."""
    torch.manual_seed(0)
    z = p.sample((num_samples,))
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    assert ((z.mean(0) - mean).abs() < 5 * (variance / num_samples).sqrt()).all()
    centred = z - mean
    estimate = torch.einsum("n...i,n...j->...ij", centred, centred) / num_samples
    error = (variance.unsqueeze(-1) * variance.unsqueeze(-2) + covariance.square()) / num_samples
    assert ((estimate - covariance).abs() < 5 * error.sqrt()).all()


def check_reparameterised(make: Callable[..., Distribution], oracle: Callable[..., Oracle], *params: Tensor) -> None:
    """`rsample_and_log_prob` gives the density at its samples, with the gradient through both of its roles."""
    params = [parameter.clone().requires_grad_() for parameter in params]

    def draw(*params: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        return make(*params).rsample_and_log_prob((2,))

    def draw_alone(*params: Tensor) -> Tensor:
        torch.manual_seed(0)
        return make(*params).rsample((2,))

    z, log_q = draw(*params)
    expected = oracle(*params).log_prob(z)
    torch.testing.assert_close(log_q, expected)
    torch.testing.assert_close(draw_alone(*params), z)
    weight = torch.linspace(-1, 2, log_q.numel(), dtype=log_q.dtype).reshape(log_q.shape)
    gradients = [
        torch.autograd.grad((weight * value).sum(), params, retain_graph=True, materialize_grads=True)
        for value in (log_q, expected)
    ]
    torch.testing.assert_close(*gradients)
    assert torch.autograd.gradcheck(draw, params)
    assert torch.autograd.gradcheck(draw_alone, params)


def check_log_prob_gradient(make: Callable[..., Distribution], oracle: Callable, x: Tensor, *params: Tensor) -> None:
    """Value and gradient of the log density in x and the parameters."""
    leaves = [leaf.clone().requires_grad_() for leaf in (x, *params)]
    value, expected = make(*leaves[1:]).log_prob(leaves[0]), oracle(*leaves[1:]).log_prob(leaves[0])
    torch.testing.assert_close(value, expected)
    weight = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).reshape(value.shape)
    gradients = [torch.autograd.grad((weight * v).sum(), leaves) for v in (value, expected)]
    torch.testing.assert_close(*gradients)


def check_broadcasts(p: Distribution) -> None:
    """Checks a sample shape before the batch, one example for the whole batch, and each row by itself."""
    torch.manual_seed(0)
    x = p.sample((5,))
    assert x.shape == (5, *p.batch_shape, *p.event_shape)
    log_p = p.log_prob(x)
    assert log_p.shape == (5, *p.batch_shape)
    torch.testing.assert_close(torch.stack([p.log_prob(row) for row in x]), log_p)
    example = x[(0,) * (1 + len(p.batch_shape))]
    everywhere = example.expand(*p.batch_shape, *p.event_shape)
    torch.testing.assert_close(p.log_prob(example), p.log_prob(everywhere))


def check_pairwise(p: Distribution, oracle: Oracle, z: Tensor) -> None:
    """Checks every event under every element of a batch (K,), for events with and without leading dimensions."""
    expected = oracle.log_prob(z.unsqueeze(-2))  # (N, K)
    torch.testing.assert_close(p.pairwise_log_prob(z), expected)
    torch.testing.assert_close(p.pairwise_log_prob(z.unflatten(0, (2, -1))), expected.unflatten(0, (2, -1)))
    torch.testing.assert_close(p.pairwise_log_prob(z[0]), expected[0])


def check_detach_stops_gradients(make: Callable[..., Distribution], *params: Tensor) -> None:
    """Parameters get no gradient, the argument does, the value stays."""
    p = make(*[parameter.clone().requires_grad_() for parameter in params])
    z = p.sample().requires_grad_()
    assert p.log_prob(z.detach()).requires_grad
    assert not p.detach().log_prob(z.detach()).requires_grad
    torch.testing.assert_close(p.detach().log_prob(z), p.log_prob(z))
    gradients = [torch.autograd.grad(q.log_prob(z).sum(), z) for q in (p.detach(), p)]
    torch.testing.assert_close(*gradients)


def check_select_picks_rows(make: Callable[..., Distribution], oracle: Callable[..., Oracle], *params: Tensor) -> None:
    """Checks `select` with repeated rows in any order."""
    index = torch.tensor([2, 0, 2, 1])
    torch.manual_seed(0)
    z = make(*params).sample()[index]
    selected = make(*params).select(index)
    assert selected.batch_shape == (4,)
    torch.testing.assert_close(selected.log_prob(z), oracle(*[p[index] for p in params]).log_prob(z))


def check_every_parameter_gets_a_gradient(module: nn.Module, value: Tensor) -> None:
    """Checks that a generic function of `value` has a finite, nonzero gradient in every parameter tensor."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    weight = torch.linspace(0.5, 1.5, value.numel(), dtype=value.dtype).reshape(value.shape)
    gradients = torch.autograd.grad((weight * value).sum(), parameters, allow_unused=True)
    dead = [n for n, g in zip(names, gradients, strict=True) if g is None or not g.isfinite().all() or not g.any()]
    assert not dead


def check_likelihood(likelihood: nn.Module, levels: Sequence[float] | None) -> None:
    """Output of a decoder (S, B, num_params, *shape) -> densities (S, B) of examples (B, *shape)."""
    torch.manual_seed(0)
    params = torch.randn(3, 4, likelihood.num_params, *likelihood.shape, dtype=torch.float64, requires_grad=True)
    p = likelihood.double()(params)
    assert p.batch_shape == (3, 4)
    assert p.event_shape == likelihood.shape
    assert p.mean.shape == (3, 4, *likelihood.shape)
    x = p.sample()
    assert x.shape == (3, 4, *likelihood.shape)
    assert p.log_prob(x[0]).shape == (3, 4)
    assert p.log_prob(x[0]).isfinite().all()
    (gradient,) = torch.autograd.grad(p.log_prob(x[0]).sum(), params)
    assert gradient.isfinite().all()
    assert gradient.flatten(3).any(-1).all()  # of each kind of parameter
    if levels is not None:
        check_masses_sum_to_one(p, levels)


def check_full_precision_under_autocast(make: Callable[[], Distribution], z: Tensor) -> None:
    """Networks may run in bfloat16; a density of float32 parameters stays in float32, and so do its samples."""
    torch.manual_seed(0)
    samples, expected = make().sample((3,)), make().log_prob(z)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(0)
        torch.testing.assert_close(make().sample((3,)), samples)
        torch.testing.assert_close(make().log_prob(z), expected)


def check_posterior(posterior: nn.Module, shape: Sequence[int], latent_dim: int) -> None:
    """Examples (B, *shape) -> densities (B,) over (latent_dim,), each of its own example alone."""
    torch.manual_seed(0)
    x = torch.rand(4, *shape)
    z = torch.randn(4, latent_dim)
    q = posterior(x)
    assert q.batch_shape == (4,)
    assert q.event_shape == (latent_dim,)
    alone = torch.cat([posterior(row.unsqueeze(0)).log_prob(z_row) for row, z_row in zip(x, z, strict=True)])
    torch.testing.assert_close(q.log_prob(z), alone)
    check_every_parameter_gets_a_gradient(posterior, q.log_prob(z))
    z, log_q = q.rsample_and_log_prob((3,))
    torch.testing.assert_close(log_q, q.log_prob(z))
    check_black_image(posterior, shape)


def check_black_image(posterior: nn.Module, shape: Sequence[int]) -> None:
    """Features may all be zero: that is no place without a gradient."""
    posterior.zero_grad()
    z, log_q = posterior(torch.zeros(2, *shape, dtype=next(posterior.parameters()).dtype)).rsample_and_log_prob((3,))
    (z.sum() + log_q.sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in posterior.parameters() if parameter.grad is not None)


def check_step(step: Step, batch: int, dim: int, invertible: bool, volume: bool = False) -> None:
    """A step of a flow with parameters for each of `batch` elements, in double precision.

    Its log-determinant against autograd's Jacobian, its inverse, and that each row has parameters of its own.
    """
    torch.manual_seed(1)
    z = 1.5 * torch.randn(5, batch, dim, dtype=torch.float64)
    moved, log_det = step(z)
    assert moved.shape == z.shape
    log_det = log_det.expand(5, batch)
    jacobian = torch.autograd.functional.jacobian(lambda z: step(z)[0].sum(0), z)  # (B, L, 5, B, L)
    for sample in range(5):
        for row in range(batch):
            own = jacobian[row, :, sample, row]
            sign, expected = torch.linalg.slogdet(own)
            torch.testing.assert_close(log_det[sample, row], expected)
            assert sign != 0
            others = [other for other in range(batch) if other != row]
            assert not jacobian[row][:, sample, others].any()
    if volume:
        assert not log_det.any()
    rows = step.map(lambda parameter: parameter[1:])
    torch.testing.assert_close(rows(z[:, 1:])[0], moved[:, 1:])
    if invertible:
        back, log_det_back = step.inverse(moved)
        torch.testing.assert_close(back, z)
        torch.testing.assert_close(log_det_back.expand(5, batch), log_det)
        every, _ = step.inverse(moved[:, :1])  # one z under the parameters of every row
        torch.testing.assert_close(every[:, 0], z[:, 0])
        torch.testing.assert_close(step(every)[0], moved[:, :1].expand_as(every))
    else:
        with pytest.raises(NotImplementedError, match="no inverse"):
            step.inverse(moved)


def check_flow_posterior(posterior: nn.Module, shape: Sequence[int], latent_dim: int, invertible: bool) -> None:
    """Examples -> densities, the batch in front; near the Gaussian at the start, with a gradient everywhere."""
    posterior.double()
    torch.manual_seed(0)
    x = torch.rand(4, *shape, dtype=torch.float64)
    q = posterior(x)
    assert (q.batch_shape, q.event_shape) == ((4,), (latent_dim,))
    z, log_q = q.rsample_and_log_prob((3,))
    assert (z.shape, log_q.shape) == ((3, 4, latent_dim), (3, 4))
    check_every_parameter_gets_a_gradient(posterior, torch.cat([z.flatten(), log_q.flatten()]))
    check_black_image(posterior, shape)

    torch.manual_seed(0)
    start, log_q = q.base.rsample_and_log_prob((3,))
    expected = log_q
    for step in q.steps:
        log_det = step(start)[1]
        start, expected = step(start)[0], expected - log_det
    torch.manual_seed(0)
    z, log_q = q.rsample_and_log_prob((3,))
    torch.testing.assert_close(z, start)
    torch.testing.assert_close(log_q, expected)

    if invertible:
        torch.testing.assert_close(q.log_prob(z), log_q)
        torch.testing.assert_close(q.pairwise_log_prob(z[:, 0]), torch.stack([q.log_prob(row) for row in z[:, 0]]))
        leaf = z.detach().requires_grad_()
        free, bound = q.detach().log_prob(leaf), q.log_prob(leaf)
        torch.testing.assert_close(free, bound)
        gradients = [torch.autograd.grad(value.sum(), leaf, retain_graph=True)[0] for value in (free, bound)]
        torch.testing.assert_close(*gradients)
        with pytest.raises(RuntimeError, match="not have been used"):
            torch.autograd.grad(free.sum(), list(posterior.parameters()))

    with torch.autocast("cpu", torch.bfloat16):
        z32, log_q32 = posterior.float()(x.float()).rsample_and_log_prob((3,))
    assert z32.dtype == log_q32.dtype == torch.float32
