import pytest

from dgm_run.trainers.base import Trainer


def test_a_trainer_must_say_how_it_trains():
    with pytest.raises(TypeError, match="fit"):
        Trainer()
