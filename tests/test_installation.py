"""The package with all its extras installs into a fresh environment, with the newest and with the lowest versions."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.tiny import TINY

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
LAUNCHERS = ("hydra_joblib_launcher", "hydra_submitit_launcher", "hydra_ray_launcher")
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=1", "seed=choice(1,2)", "hydra.sweep.dir=sweep", *TINY)
FOLDERS = ("runner", "report", "recording", "data", "config")
"""Folders of tests that use every dependency."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def call(*command, cwd):
    """Runs a command, and returns its output. It fails with the end of the output."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture
def python(tmp_path):
    """Returns the interpreter of a fresh environment; skips without an index of packages."""
    call(sys.executable, "-m", "venv", "environment", cwd=tmp_path)
    python = tmp_path / "environment" / "bin" / "python"
    probe = [python, "-m", "pip", "install", "--quiet", "hatchling"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no index of packages can be reached")
    return python


def test_extras_fit_together(python, tmp_path):
    extras = ",".join(name for name in EXTRAS if name not in ("dev", "bench"))  # a peer has its own versions
    call(python, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    call(python, "-m", "pip", "install", "--quiet", f"{wheel}[{extras}]", cwd=tmp_path)
    call(python, "-m", "pip", "check", cwd=tmp_path)
    for launcher in LAUNCHERS:
        call(python, "-c", f"import hydra_plugins.{launcher}", cwd=tmp_path)
    printed = call(tmp_path / "environment" / "bin" / "dgm-run", *SEARCH, cwd=tmp_path)
    assert "best trial:\n  0: best=" in printed


def test_lowest_versions_pass_the_tests(python, tmp_path):
    call(python, "-m", "pip", "install", "--quiet", "uv", cwd=tmp_path)
    lowest = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct"]
    call(*lowest, "--editable", f"{ROOT}[dev]", cwd=tmp_path)
    folders = [f"tests/{name}" for name in FOLDERS]
    call(python, "-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow", *folders, cwd=ROOT)
    printed = call(tmp_path / "environment" / "bin" / "dgm-run", *SEARCH, cwd=tmp_path)
    assert "best trial:\n  0: best=" in printed
