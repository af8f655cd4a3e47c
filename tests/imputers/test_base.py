import pytest
import torch

from dgm_run.data.corrupt import MissingAtRandom
from dgm_run.imputers.base import alternate, check_steps
from tests.imputers import truth


@torch.no_grad()
def test_steps_after_the_burn_in_are_averaged_and_draws_are_spread_over_them():
    model, visited = truth.binary_vae(), []

    def move(x, z):
        visited.append(z.item())
        return torch.full_like(z, float(len(visited))), torch.tensor([len(visited) % 2])

    found = alternate(model, truth.SEEN, MissingAtRandom(0.5), move, range(3, 7), 4)
    assert visited[1:] == [1, 2, 3, 4, 5, 6]
    means = model.decode(torch.tensor([[3.0], [4.0], [5.0], [6.0]])).mean.mean(0).flatten()
    torch.testing.assert_close(found.mean.flatten()[[1, 3]], means[[1, 3]])
    assert found.draws.shape == (4, 1, 1, 1, 4)
    assert found.seen["acceptance"].item() == pytest.approx(4 / 7)


def test_a_burn_in_that_is_all_there_is_is_refused():
    check_steps(0, 1)
    for burn_in in (-1, 3, 4):
        with pytest.raises(ValueError, match="must lie between 0 and num_steps = 3"):
            check_steps(burn_in, 3)
