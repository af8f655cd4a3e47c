import pytest

from dgm_run.models.layered import layer_sizes


def test_the_pixels_stand_first():
    assert layer_sizes((1, 2, 3), [4, 5]) == [6, 4, 5]


@pytest.mark.parametrize("num_hidden", [[], [3], [3, 0]])
def test_stacks_that_are_none_are_refused(num_hidden):
    with pytest.raises(ValueError, match="num_hidden"):
        layer_sizes((1, 2, 3), num_hidden)
