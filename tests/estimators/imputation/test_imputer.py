import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.estimators.imputation.gibbs import Gibbs
from dgm_run.estimators.imputation.importance_sampling import ImportanceSampling
from dgm_run.estimators.imputation.imputer import run_chain
from tests.support import truth


@torch.no_grad()
def test_chain_averages_after_burn_in():
    model, visited = truth.binary_vae(), []

    def move(x, z):
        visited.append(z.item())
        return torch.full_like(z, float(len(visited))), torch.tensor([len(visited) % 2])

    found = run_chain(model, truth.OBSERVED, MissingAtRandom(0.5), move, range(3, 7), 4)
    assert visited[1:] == [1, 2, 3, 4, 5, 6]
    means = model.decode(torch.tensor([[3.0], [4.0], [5.0], [6.0]])).mean.mean(0).flatten()
    torch.testing.assert_close(found.mean.flatten()[[1, 3]], means[[1, 3]])
    assert found.draws.shape == (4, 1, 1, 1, 4)
    assert found.diagnostics["acceptance"].item() == pytest.approx(4 / 7)


def test_burn_in_of_all_steps_is_refused():
    assert Gibbs(1, 0).max_draws == 1
    assert Gibbs(num_steps=500, burn_in=100).max_draws == 400
    for burn_in in (-1, 3, 4):
        with pytest.raises(ValueError, match="must lie between 0 and num_steps = 3"):
            Gibbs(3, burn_in)


def test_settings_leave_out_batch_rows():
    assert ImportanceSampling(1000, 50).settings == {"num_samples": 1000}
    assert Gibbs(5, 2).settings == {"num_steps": 5, "burn_in": 2}
