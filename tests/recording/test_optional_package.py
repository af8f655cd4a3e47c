import pytest

import dgm_run
from dgm_run.errors import ConfigError
from dgm_run.recording import optional_package
from dgm_run.runner.assemble import check_config
from tests.support.tiny import TINY


@pytest.mark.parametrize("name", ["wandb", "mlflow", "trackio"])
def test_missing_package_is_refused_before_training(name, monkeypatch):
    monkeypatch.setattr(optional_package, "find_spec", lambda package: None)
    with pytest.raises(ConfigError) as refused:
        check_config(dgm_run.compose(*TINY, f"logger=[{name}]"))
    assert str(refused.value) == (
        f"logger.{name}: the package {name} is not installed: pip install 'dgm-run[{name}]'"
    )  # fmt: skip
