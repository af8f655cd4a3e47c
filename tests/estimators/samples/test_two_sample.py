import math

import pytest
import torch

from dgm_run.estimators.samples.two_sample import linear_hits, neighbour_hits


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_linear_accuracy_matches_bayes(shift):
    torch.manual_seed(0)
    found = linear_hits(torch.randn(20_000, 3), torch.randn(20_000, 3) + torch.tensor([shift, 0, 0]))
    bayes = 0.5 * (1 + math.erf(shift / 2 / math.sqrt(2)))
    assert len(found) == 20_000
    assert found.mean().item() == pytest.approx(bayes, abs=0.012)


def test_neighbours_see_what_a_line_cannot():
    torch.manual_seed(0)
    near, far = torch.randn(2000, 2), torch.randn(2000, 2)
    far = far / far.norm(dim=1, keepdim=True) * 4  # a ring around the others
    assert linear_hits(near, far).mean() < 0.6
    assert neighbour_hits(near, far).mean() > 0.95


@pytest.mark.parametrize("accuracy", [linear_hits, neighbour_hits])
def test_equal_samples_give_chance(accuracy):
    torch.manual_seed(0)
    found = torch.cat([accuracy(torch.randn(400, 2), torch.randn(400, 2)) for _ in range(10)])
    assert abs(found.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(found))
    bits = torch.cat(
        [accuracy((torch.rand(400, 2) < 0.5).double(), (torch.rand(400, 2) < 0.5).double()) for _ in range(10)]
    )
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / math.sqrt(len(bits))
