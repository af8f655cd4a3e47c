import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.corruptions import (
    BitFlip,
    GaussianNoise,
    MissingAtRandom,
    MissingBlock,
    MissingHalf,
    MissingRows,
    SaltAndPepper,
)
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.independent_gaussian import IndependentGaussian

X = torch.rand(2000, 3, 8, 6, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


def draw_mask(corrupt, x=X):
    torch.manual_seed(0)
    x_tilde = corrupt(x)
    missing = x_tilde.isnan()
    assert (x_tilde[~missing] == x[~missing]).all()
    assert (missing == missing[:, :1]).all()  # all channels together
    return missing[:, 0]


def test_pixels_go_missing_by_themselves():
    found = draw_mask(MissingAtRandom(0.3)).double()
    assert found.mean().item() == pytest.approx(0.3, abs=0.005)
    assert np.corrcoef(found[:, 0, 0], found[:, 0, 1])[0, 1] == pytest.approx(0, abs=0.1)


def test_rows_are_missing_equally_often():
    found = draw_mask(MissingRows(0.5))
    assert (found.any(2) == found.all(2)).all()
    assert (found.all(2).sum(1) == 4).all()
    assert found[:, :, 0].double().mean(0) == pytest.approx(np.full(8, 0.5), abs=0.06)
    assert (draw_mask(MissingRows(0.99)).all(2).sum(1) == 7).all()  # one row stays


@pytest.mark.parametrize(("side", "axis", "first"), [("top", 0, 0), ("bottom", 0, 4), ("left", 1, 0), ("right", 1, 3)])
def test_a_half_goes_missing(side, axis, first):
    found = draw_mask(MissingHalf(side))[0]
    lines = found.all(1 - axis)
    assert lines.nonzero().flatten().tolist() == list(range(first, first + len(lines) // 2))
    assert found.sum() == found.numel() // 2


def test_a_block_goes_missing_anywhere():
    found = draw_mask(MissingBlock(0.25))
    assert (found.flatten(1).sum(1) == 4 * 3).all()
    assert (found.any(2).sum(1) == 4).all()
    assert (found.any(1).sum(1) == 3).all()
    tops = found.any(2).int().argmax(1)
    assert tops.unique().tolist() == [0, 1, 2, 3, 4]


def test_values_of_flat_examples_are_hidden_too():
    assert MissingAtRandom(0.5)(torch.zeros(50, 7)).isnan().double().mean() == pytest.approx(0.5, abs=0.1)


def test_elements_that_are_left_are_counted():
    corrupt = MissingRows(0.5)
    corruption_noise = corrupt.draw(3, (3, 8, 6))
    assert corrupt.num_observed(corruption_noise, (3, 8, 6)).tolist() == [3 * 4 * 6] * 3
    assert GaussianNoise(0.1).num_observed(corruption_noise, (3, 8, 6)) == 3 * 8 * 6


def test_posterior_of_flipped_bits_follows_bayes():
    p, share = torch.tensor([0.02, 0.5, 0.9]), 0.2
    corrupt = BitFlip(share)
    p_tilde = corrupt.observation_density(Bernoulli(p.logit(), 1))
    expected = p * (1 - share) + (1 - p) * share
    torch.testing.assert_close(p_tilde.mean, expected)
    for value in (0.0, 1.0):
        x = torch.full((3,), value)
        like = torch.where(x == 1, 1 - share, share)  # p(x~ | x = 1)
        other = torch.where(x == 1, share, 1 - share)
        torch.testing.assert_close(corrupt.posterior_of_x(Bernoulli(p.logit(), 1), x).mean,
                                   p * like / (p * like + (1 - p) * other))  # fmt: skip
    torch.manual_seed(0)
    x = (torch.rand(50_000, 3) < p).float()
    assert corrupt(x).mean(0) == pytest.approx(expected.numpy(), abs=0.01)


def test_posterior_under_noise_agrees_with_quadrature():
    corrupt, mean, scale = GaussianNoise(0.5), 0.3, 0.4
    p = IndependentGaussian(torch.tensor([mean]), torch.tensor(math.log(scale)), 1)
    grid = np.linspace(-4, 4, 4001)
    joint = norm.pdf(grid, mean, scale) * norm.pdf(0.9, grid, 0.5)
    total = joint.sum() * (grid[1] - grid[0])
    x_tilde = torch.tensor([0.9])
    assert corrupt.observation_density(p).log_prob(x_tilde).item() == pytest.approx(math.log(total), abs=1e-5)
    q = corrupt.posterior_of_x(p, x_tilde)
    expected = (joint * grid).sum() / joint.sum()
    assert q.mean.item() == pytest.approx(expected, abs=1e-5)
    assert q.variance.item() == pytest.approx((joint * (grid - expected) ** 2).sum() / joint.sum(), abs=1e-5)
    torch.manual_seed(0)
    noise = corrupt(X) - X
    assert noise.std().item() == pytest.approx(0.5, abs=0.003)


def test_salt_and_pepper_keeps_other_values():
    torch.manual_seed(0)
    corrupt = SaltAndPepper(0.4)
    x_tilde = corrupt(X)
    replaced = x_tilde != X
    assert replaced.double().mean().item() == pytest.approx(0.4, abs=0.005)
    assert set(x_tilde[replaced].unique().tolist()) == {0.0, 1.0}
    assert x_tilde[replaced].mean().item() == pytest.approx(0.5, abs=0.01)
    assert (corrupt.observed(x_tilde).isnan() == replaced).all()
    p = IndependentGaussian(torch.full((3, 8, 6), 0.5), torch.tensor(-1.0), 3)
    by_hand = (p.elementwise_log_prob(X[:5]) * ~replaced[:5]).flatten(1).sum(1)
    torch.testing.assert_close(corrupt.observation_density(p).log_prob(x_tilde[:5]), by_hand)
    torch.testing.assert_close(corrupt.posterior_of_x(p, x_tilde[:5]).mean[replaced[:5]],
                               torch.full((int(replaced[:5].sum()),), 0.5))  # fmt: skip


def test_what_is_known_of_one_family_is_refused_of_others():
    with pytest.raises(NotImplementedError, match="likelihood=bernoulli"):
        BitFlip(0.1).observation_density(IndependentGaussian(torch.zeros(1), torch.zeros(()), 1))
    with pytest.raises(NotImplementedError, match="likelihood=gaussian"):
        GaussianNoise(0.1).posterior_of_x(Bernoulli(torch.zeros(1), 1), torch.zeros(1))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_share_of_nothing_or_of_all_refused(share):
    with pytest.raises(ValueError, match=r"must lie between 0 and 1"):
        MissingAtRandom(share)


def test_it_says_what_it_does():
    assert str(MissingHalf("top")) == "missing half (side top)"


def test_examples_are_corrupted_once_and_truth_is_kept():
    cfg = dgm_run.compose("dataset/corrupt=missing_at_random", "dataset.corrupt_seed=3")
    data = instantiate(cfg.dataset).load()
    whole = instantiate(dgm_run.compose().dataset).load()
    index = torch.tensor([5, 2, 9])
    assert (data.test.uncorrupted.batch(index) == whole.test.batch(index)).all()
    once, again = data.train.batch(index).isnan(), data.train.batch(index).isnan()
    assert (once == again).all()  # while pixels are drawn anew
    assert once.any()
    assert not (once == data.test.batch(index).isnan()).all()
    assert (data.train.num_observed[index] == (~once).flatten(1).sum(1)).all()
    other = instantiate(dgm_run.compose("dataset/corrupt=missing_at_random", "dataset.corrupt_seed=4").dataset).load()
    assert not (other.train.batch(index).isnan() == once).all()
    assert "missing at random (probability 0.5), drawn with seed 3" in data.dataset.protocol


def test_a_block_leaves_something_to_see():
    assert not draw_mask(MissingBlock(0.99), torch.zeros(5, 1, 8, 8)).flatten(1).all(1).any()


def test_salt_and_pepper_counts_true_values():
    corrupt = SaltAndPepper(0.6)
    corruption_noise = corrupt.draw(500, (1, 4, 4), torch.Generator().manual_seed(0))
    num_observed = corrupt.num_observed(corruption_noise, (1, 4, 4))
    x_tilde = corrupt.apply(torch.full((500, 1, 4, 4), 0.5), corruption_noise)
    assert torch.equal(num_observed, (x_tilde == 0.5).flatten(1).sum(1))
    assert str(corrupt) == "salt and pepper (probability 0.6; replaced elements are not counted)"


def test_mean_of_bits_is_estimated_from_flipped_bits():
    corrupt = BitFlip(0.2)
    turned = corrupt((torch.rand(200_000, 1) < 0.7).float(), torch.Generator().manual_seed(1))
    assert corrupt.debiased_mean(turned.mean(0)).item() == pytest.approx(0.7, abs=0.01)
    assert BitFlip(0.5).debiased_mean(torch.tensor(0.5)) == 0.5
