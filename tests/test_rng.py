import itertools

import pytest
import torch

from dgm_run.rng import bernoulli, hashed_uniform_like, key, permutation, reseed, uniform_like

# the first outputs of the reference splitmix64 (S. Vigna, https://prng.di.unimi.it/splitmix64.c) from state 0
SPLITMIX64 = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC, 0x1B39896A51A8749B]


def test_keys_are_outputs_of_splitmix64_without_the_sign_bit():
    assert [key(n, "") for n in range(1, 6)] == [output % 2**63 for output in SPLITMIX64]


def test_keys_differ_by_seed_stream_and_index():
    keys = [key(*k) for k in itertools.product(range(20), ("order", "step", "stop", "evaluate"), range(500))]
    assert len(set(keys)) == len(keys)
    assert all(0 <= k < 2**63 for k in keys)


def test_neighbouring_keys_share_half_bits():
    flips = [(key(1, "step", i) ^ key(1, "step", i + 1)).bit_count() for i in range(1000)]
    assert abs(sum(flips) / 1000 - 31.5) < 5 * (63 / 4 / 1000) ** 0.5


@pytest.mark.parametrize("seed", [-1, 0, 2**64 + 5])
def test_any_integer_is_a_seed(seed):
    reseed(seed, "step")
    assert torch.initial_seed() == key(seed, "step")


def test_a_step_can_be_replayed_alone():
    reseed(3, "step", 7)
    expected = torch.randn(5)
    torch.randn(100)
    reseed(3, "step", 7)
    assert torch.equal(torch.randn(5), expected)


@pytest.mark.parametrize("other", [(4, "step", 7), (3, "evaluate", 7), (3, "step", 8)], ids=str)
def test_other_steps_see_other_numbers(other):
    reseed(3, "step", 7)
    first = torch.randn(10_000)
    reseed(*other)
    assert abs(torch.corrcoef(torch.stack([first, torch.randn(10_000)]))[0, 1]) < 5 / 100


def test_reseeding_is_seeding_torch_with_key():
    reseed(3, "step", 7)
    numbers = torch.randn(5)
    torch.manual_seed(key(3, "step", 7))
    assert torch.equal(torch.randn(5), numbers)


def test_epoch_order_is_a_permutation():
    assert sorted(permutation(0, 1, 100).tolist()) == list(range(100))


def test_the_order_depends_on_seed_and_epoch_alone():
    expected = permutation(0, 1, 100)
    torch.randn(3)
    assert torch.equal(permutation(0, 1, 100), expected)
    assert not torch.equal(permutation(0, 2, 100), expected)
    assert not torch.equal(permutation(1, 1, 100), expected)


def test_making_an_order_draws_no_numbers():
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    permutation(0, 1, 100)
    assert torch.equal(torch.randn(3), expected)


def test_epoch_orders_are_uniform():
    orders = torch.stack([permutation(0, epoch, 5) for epoch in range(2000)])  # (2000, 5)
    counts = torch.stack([(orders == example).sum(0) for example in range(5)]).double()
    assert (counts - 400).abs().max() < 5 * (2000 * 0.2 * 0.8) ** 0.5


@pytest.mark.parametrize("draw", [uniform_like, hashed_uniform_like])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_draws_are_uniform(dtype, draw):
    torch.manual_seed(0)
    u = torch.stack([draw(torch.empty(10_001, dtype=dtype)) for _ in range(100)])
    assert u.dtype == dtype
    assert 0 <= u.min() < 1e-5
    assert 1 - 1e-5 < u.max() < 1
    counts = torch.histc(u.float(), 1000, 0, 1)
    expected = u.numel() / 1000
    assert abs(((counts - expected) ** 2 / expected).sum() - 999) < 5 * (2 * 999) ** 0.5
    neighbours = torch.corrcoef(torch.stack([u[:, :-1].flatten(), u[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 5 / u.numel() ** 0.5


def test_zeros_and_ones_come_with_their_probability():
    torch.manual_seed(0)
    p = torch.tensor([0.0, 1e-4, 0.3, 0.5, 0.999, 1.0])
    n = 1_000_000
    frequency = bernoulli(p.expand(n, -1)).mean(0)
    assert frequency[0] == 0
    assert frequency[-1] == 1
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sixteenths", [8, 15, 24])
def test_chances_between_sixteen_bits(sixteenths, dtype):
    torch.manual_seed(0)
    p, n = sixteenths / 16 * 2**-16, 20 * 2**18
    rare = torch.full((2**18,), p, dtype=dtype)
    ones = sum(bernoulli(rare).sum().item() for _ in range(20))
    zeros = sum(2**18 - bernoulli(1 - rare).sum().item() for _ in range(20))
    assert abs(ones - n * p) < 5 * (n * p) ** 0.5
    assert abs(zeros - n * p) < 5 * (n * p) ** 0.5


@pytest.mark.parametrize("p", [1e-6, 2.0**-17, 1.5 * 2.0**-16])
def test_rare_ones_of_a_call_are_independent(p):
    torch.manual_seed(0)
    calls, probability = 2000, torch.full((100, 784), p)
    counts = torch.tensor([bernoulli(probability).sum().item() for _ in range(calls)], dtype=torch.float64)
    mean = 78_400 * p  # of a count, which is nearly Poisson: so is its variance, and its fourth moment mean + 3 mean^2
    assert abs(counts.mean() - mean) < 5 * (mean / calls) ** 0.5
    assert abs(counts.var() - mean) < 5 * ((mean + 2 * mean**2) / calls) ** 0.5


def test_equal_seeds_draw_equal_bits():
    p = torch.rand(300, 784)
    draws = []
    for _ in range(2):
        reseed(3, "step", 7)
        draws.append(torch.stack([bernoulli(p) for _ in range(3)]))
    assert torch.equal(*draws)


def test_strided_chances_keep_their_places():
    torch.manual_seed(0)
    p = torch.tensor([0.0, 1.0]).expand(200_000, 2)
    assert torch.equal(bernoulli(p), p)
    assert torch.equal(bernoulli(p.T), p.T)
    assert bernoulli(torch.full((4,), torch.nan)).sum() == 0
    assert bernoulli(torch.empty(0, 3)).shape == (0, 3)


def test_hashed_draws_outputs_of_splitmix64():
    torch.manual_seed(3)
    start = torch.randint(2**62, ()).item()
    torch.manual_seed(3)
    found = hashed_uniform_like(torch.empty(7, 11)).flatten()
    word = 2**64 - 1
    for i, value in enumerate(found.tolist()):
        z = (start + i) * 0x9E3779B97F4A7C15 & word
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & word
        z = (z ^ z >> 27) * 0x94D049BB133111EB & word
        assert value == ((z ^ z >> 31) >> 40) * 2**-24


@pytest.mark.slow
def test_compiled_draws_have_probability_p():
    torch.manual_seed(0)
    draw, p = torch.compile(bernoulli, dynamic=False), torch.full((1_000_000,), 0.3)
    first, second = draw(p), draw(p)
    both = torch.stack([first, second])
    assert (both.mean(1) - 0.3).abs().max() < 5 * (0.21 / 1e6) ** 0.5
    assert torch.corrcoef(both)[0, 1].abs() < 5e-3


def test_draws_in_half_precision_are_as_fine_as_in_single():
    torch.manual_seed(0)
    p = torch.full((1_000_000,), 0.01, dtype=torch.bfloat16)
    draws = bernoulli(p)
    assert draws.dtype == torch.bfloat16
    expected = p[0].float().item()
    assert abs(draws.float().mean() - expected) < 5 * (expected / 1e6) ** 0.5
