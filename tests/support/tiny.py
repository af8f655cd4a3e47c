"""Overrides that make a run tiny, and the command in a process of its own."""

import gc
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest

from dgm_run.cli import main
from dgm_run.cli.exit_status import outcome

SHORT = ("trainer.max_epochs=1", "trainer.batch_size=500", "trainer.threads=1", "trainer.device=cpu")
TINY = (
    *("encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]", "model.latent_dim=2"),
    *SHORT,
    "estimators.importance_sampling.num_samples=2",
)
FEW_TEMPERATURES = (
    "estimators.energy.partition.fallback.num_temperatures=10",
    "estimators.energy.reverse_ais.num_temperatures=10",
)
TINY_LAYERS = (
    *("model.num_hidden=[8,8]", "trainer.pretraining.max_epochs=1", *SHORT, *FEW_TEMPERATURES),
    *("estimators.energy.num_samples=2", "trainer.pretraining.objective.partition.fallback.num_temperatures=10"),
)
TINY_GAN = (
    *("model=gan", *SHORT, "estimators.ais_decoder.num_temperatures=3", "estimators.ais_decoder.target_gap=null"),
    *("estimators.sample_quality.features=pixels", "estimators.sample_quality.num_samples=50"),
)
TINY_DENSITY = ("model=density_network", "decoder.hidden_dims=[8]", *SHORT)
TINY_EXACT = ("model=factor_analysis", "model.latent_dim=2", *SHORT)
TINY_LABELLED = ("model=m2", *TINY, "model.latent_dim=12", "estimators.classification.num_samples=2")
TINY_SENTENCES = (
    *("dataset=pcfg", "dataset.source.num_train=110", "dataset.source.num_valid=20", "dataset.source.num_test=20"),
    *(*SHORT, "trainer.batch_size=50"),
)
TINY_SENTENCE_VAE = (
    *("model=sentence_vae", *TINY_SENTENCES, "model.latent_dim=2", "encoder.hidden_dim=8", "decoder.hidden_dim=8"),
    "estimators.importance_sampling.num_samples=2",
)
TINY_ENERGY = ("model=rbm", "model.num_hidden=8", *SHORT)

NAMES = ("it's", "x=1, y", "ü [1]", 'a"b', "$HOME", "a\\b", "#x", "~x", "-x", "end\\", "both ' and \"")
"""Names of folders that a shell, Hydra or OmegaConf could take for something else."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dgm_run", *arguments]


FORK_SERVER = multiprocessing.get_context("forkserver")  # has imported what takes seconds, and forks the commands
FORK_SERVER.set_forkserver_preload(
    [
        *("dgm_run.cli.main", "dgm_run.runner.run", "matplotlib.figure", "sklearn.datasets", "torchvision"),
        *("torch.utils.tensorboard", "tensorboard.compat.proto.summary_pb2", "tests.support.preload"),
    ]
)


class CommandResult(NamedTuple):
    """Exit status and output of a command."""

    returncode: int
    stdout: str
    stderr: str


def dgm_run(*arguments: str, cwd: Path, **environment: str) -> CommandResult:
    """Runs the command to its end in the folder `cwd`."""
    return run_command("main", *arguments, cwd=cwd, **environment)


def run_command(function: str, *arguments: str, cwd: Path, **environment: str) -> CommandResult:
    """Runs one of the commands, by its function in `dgm_run.cli.main`, to its end in the folder `cwd`."""
    with TemporaryDirectory() as folder:
        told = [f"{folder}/stdout", f"{folder}/stderr"]
        process = FORK_SERVER.Process(target=_command, args=(function, arguments, cwd, environment, *told))
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            process.join()
        return CommandResult(process.exitcode, *(Path(file).read_text() for file in told))


@contextmanager
def start_command(*arguments: str, cwd: Path, output: str | None = None) -> Iterator[Any]:
    """Starts the command in the folder `cwd`, for tests that send signals to it; yields the process.

    Both streams go to the file `output`; without it, to `stdout` and `stderr` in `cwd`.
    """
    files = (output, output) if output else (f"{cwd}/stdout", f"{cwd}/stderr")
    process = FORK_SERVER.Process(target=_command, args=("main", arguments, cwd, {}, *files))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _command(
    function: str, arguments: Sequence[str], cwd: Path, environment: dict[str, str], stdout: str, stderr: str
) -> None:
    """Runs the command in the process that was started for it."""
    gc.freeze()  # what the server has imported
    for file, descriptor in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(cwd)
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | environment
    sys.argv = ["dgm-run", *arguments]
    getattr(main, function)()


class Refused(NamedTuple):
    """Exit status and message of a command that was refused."""

    returncode: int
    stderr: str


def run_refused(arguments: Sequence[str], cwd: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> Refused:
    """Runs a command in this process, which has imported torch already; it must be refused before any work."""
    done = run_here("main", arguments, cwd, monkeypatch, capfd)
    return Refused(done.returncode, done.stderr)


def run_here(
    function: str, arguments: Sequence[str], cwd: Path, monkeypatch: pytest.MonkeyPatch, capfd
) -> CommandResult:
    """Runs one of the commands, by its function in `dgm_run.cli.main`, to its end in this process."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["dgm-run", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(outcome, "has_failed", False)
    monkeypatch.setattr(outcome, "sweep_folders", [])
    monkeypatch.setattr(outcome, "run_folders", [])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # which the command changes
    with pytest.raises(SystemExit) as ended:
        getattr(main, function)()
    code = ended.value.code
    stdout, stderr = capfd.readouterr()
    if isinstance(code, str):
        return CommandResult(1, stdout, f"{stderr}{code}\n")
    return CommandResult(code, stdout, stderr)


def metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class _StopAfter:
    """A request to stop that comes after so many looks at it."""

    def __init__(self, looks: int):
        self.looks, self.signum = looks, 2

    def __bool__(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def stop_after(looks: int, patch: pytest.MonkeyPatch) -> None:
    """Runs are asked to stop when they have looked so often whether they are."""
    patch.setattr("dgm_run.runner.workers.stop_requests", lambda: nullcontext(_StopAfter(looks)))
