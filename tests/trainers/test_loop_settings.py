import pytest

from dgm_run.errors import ConfigError
from tests.trainers.test_training_loop import run


@pytest.mark.parametrize(
    ("option", "message"), [("trainer.batch_size=0", "batch_size = 0"), ("trainer.patience=-1", "patience = -1")]
)
def test_numbers_not_positive_are_refused(option, message, tmp_path):
    with pytest.raises(ConfigError, match=f"{message} must be at least 1"):
        run(tmp_path, option)
