import pytest
import torch

from dgm_run.priors.stick_breaking import StickBreakingPrior


def test_breaks_are_beta_variables():
    p = StickBreakingPrior(3, 5.0)(None)
    v = p.sample((100_000,)).sigmoid()
    for moment, expected in ((1, 1 / 6), (2, 2 / (6 * 7))):  # of Beta(1, 5)
        found = v**moment
        assert ((found.mean(0) - expected).abs() < 5 * found.std(0) / 100_000**0.5).all()


def test_the_decoder_reads_the_pieces():
    v = torch.tensor([[0.5, 0.2, 0.9], [0.1, 0.7, 0.3]]).double()
    pieces = StickBreakingPrior(3, 5.0).compute_decoder_input(v.logit())
    expected = [[0.5, 0.1, 0.36], [0.1, 0.63, 0.081]]
    torch.testing.assert_close(pieces, torch.tensor(expected).double())


def test_many_breaks_stay_finite():
    pieces = StickBreakingPrior(200, 1.0).compute_decoder_input(torch.full((1, 200), 30.0))
    assert pieces.isfinite().all()
    assert pieces[0, 0] == 1
    assert pieces.sum() <= 1


def test_a_concentration_at_zero_is_refused():
    with pytest.raises(ValueError, match="concentration = 0"):
        StickBreakingPrior(3, 0.0)
