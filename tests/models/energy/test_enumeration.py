import torch

from dgm_run.models.energy.enumeration import binary_states, digits, log_sum_over_states

CPU = torch.device("cpu")


def test_binary_states_are_distinct():
    every = binary_states(5, 0, 32, CPU)
    assert len(every.unique(dim=0)) == 32
    assert torch.equal(binary_states(5, 7, 20, CPU), every[7:20])


def test_sum_spans_several_blocks():
    b = torch.linspace(-1, 1, 15, dtype=torch.float64)
    found = log_sum_over_states(15, lambda states: states @ b, CPU)
    torch.testing.assert_close(found, torch.nn.functional.softplus(b).sum())


def test_digits_match_the_base():
    index = torch.tensor([0, 5, 26, 80])
    found = digits(index, 3, 4)
    assert torch.equal((found * 3 ** torch.arange(4)).sum(1), index)
    assert found.min() >= 0
    assert found.max() <= 2
