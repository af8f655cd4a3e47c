import pytest
import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.estimators.likelihood.pseudo_likelihood import PseudoLikelihood
from tests.models.energy.test_rbm import make
from tests.objectives.energy.test_pseudo_likelihood import exact_pseudo_likelihood
from tests.support import energy


def test_estimate_averages_to_conditionals():
    model = make()
    x = energy.visible_states(model)[[3, 11, 40, 63]]
    torch.manual_seed(0)
    data = DataSplit(x.repeat(5000, 1, 1, 1), None, lambda values: values.double())
    (found,) = PseudoLikelihood(num_flips=2, max_batch_rows=3000)(model, data)
    expected = sum(exact_pseudo_likelihood(model, row) for row in (3, 11, 40, 63)) / 4
    assert abs(found.value - expected) < 5 * found.stderr
    assert found.stderr < 0.1
    assert (found.quantity, found.estimator, found.kind) == ("pseudo_likelihood", "random_pixels", "estimate")
    assert found.num_examples == 20_000


def test_random_pixels_state_their_own_error():
    model = make()
    x = energy.visible_states(model)
    data = DataSplit(x, None, lambda values: values)
    exact = torch.tensor([exact_pseudo_likelihood(model, row) for row in range(64)]).mean().item()
    for num_flips in (1, 5):
        held = []
        for seed in range(100):
            torch.manual_seed(seed)
            (found,) = PseudoLikelihood(num_flips, 1000)(model, data)
            held.append(found.computing_interval[0] <= exact <= found.computing_interval[1])
        assert sum(held) >= 90
    assert PseudoLikelihood(None, 1000)(model, data)[0].computing_interval is None
    (one,) = PseudoLikelihood(3, 1000)(model, DataSplit(x[:1], None, lambda values: values))
    assert (one.stderr, one.computing_interval) == (None, None)


def test_all_pixels_give_the_sum_itself():
    model = make()
    x = energy.visible_states(model)[[3, 11, 40, 63]]
    (found,) = PseudoLikelihood(num_flips=None, max_batch_rows=3)(model, DataSplit(x, None, lambda values: values))
    expected = torch.tensor([exact_pseudo_likelihood(model, row) for row in (3, 11, 40, 63)])
    assert found.value == pytest.approx(expected.mean().item())
    assert found.stderr == pytest.approx(expected.std().item() / 2)
    assert (found.estimator, found.kind) == ("all_pixels", "exact")


def test_nonpositive_settings_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        PseudoLikelihood(0, 10)
