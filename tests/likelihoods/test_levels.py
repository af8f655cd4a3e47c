import pytest

from dgm_run.likelihoods.levels import LevelLikelihood


class Some(LevelLikelihood):
    def forward(self, params):
        return params


def test_binarised_data_have_two_levels():
    assert Some([3], 2).takes == ("levels", "binary")
    assert Some([3], 256).takes == ("levels",)


def test_data_without_levels_are_refused():
    with pytest.raises(ValueError, match=r"^the data set has real values, not grey levels: use likelihood=gaussian$"):
        Some([3], None)
