"""Measures whole commands on the digits: seconds to a likelihood with its error, and those of training alone."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import Options, Ratios

ONE_EPOCH = ("trainer.max_epochs=1",)
ONE_EPOCH_EACH = (*ONE_EPOCH, "trainer.pretraining.max_epochs=1")
COMMANDS = {
    "model=rbm objective=pcd, 60 epochs": ("model=rbm", "objective=pcd", "trainer.max_epochs=60"),
    "model=boltzmann, 1 epoch": ("model=boltzmann", *ONE_EPOCH),
    "model=dbn, 1 epoch each": ("model=dbn", *ONE_EPOCH_EACH),
    "model=dbm, 1 epoch each": ("model=dbm", *ONE_EPOCH_EACH),
    "model=gan, 1 epoch": ("model=gan", *ONE_EPOCH),
    "model=vae, 1 epoch": ("model=vae", *ONE_EPOCH),
}


class WholeRun(NamedTuple):
    """Seconds of a command and of the training in it, and the likelihood with its standard error, nats."""

    seconds: float
    training: float
    log_likelihood: float
    stderr: float


def run(options: Options) -> Ratios:
    """Prints medians, the commands in turns."""
    rounds = [
        {name: _measure(command) for name, command in COMMANDS.items()} for _ in range(max(1, options.rounds // 3))
    ]
    print(f"\nWhole commands on the digits\n{'':36}  {'seconds':>10}{'training':>10}   test/log_likelihood")
    for name in COMMANDS:
        runs = [each[name] for each in rounds]
        seconds, training = (statistics.median(run[column] for run in runs) for column in range(2))
        likelihood = f"{runs[0].log_likelihood:>10.2f} ± {runs[0].stderr:.2f}"
        print(f"{name:36}  {seconds:>10.1f}{training:>10.1f}   {likelihood}", flush=True)
    return {}


def _measure(command: tuple[str, ...]) -> WholeRun:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "dgm_run", *command, f"hydra.run.dir={folder}/run"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - begun
        results: dict[str, Any] = json.loads((Path(folder) / "run" / "results.json").read_text())
    row = next(row for row in results["estimates"] if row["quantity"] == "log_likelihood")
    return WholeRun(seconds, results["training"]["seconds"], row["value"], row["stderr"])
