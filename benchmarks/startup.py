"""Measures the seconds of a command: to its answer, to its first training step, to its end."""

import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.table import Options, Ratios

DGM_RUN = [sys.executable, "-m", "dgm_run"]
IMPORT = "python -c 'import torch'"
COMMANDS = {
    IMPORT: [sys.executable, "-c", "import torch"],
    "dgm-run --help": [*DGM_RUN, "--help"],
    "dgm-run --cfg job": [*DGM_RUN, "--cfg", "job"],
}


def run(options: Options) -> Ratios:
    """Prints medians, the commands in turns."""
    _one_round()  # brings the files into memory
    rounds = [_one_round() for _ in range(max(1, options.rounds // 2))]
    print(f"\nStart-up on the digits\n{'':36}  {'seconds':>10}{'beyond torch':>15}")
    for name in rounds[0]:
        median = statistics.median(times[name] for times in rounds)
        beyond = statistics.median(times[name] - times[IMPORT] for times in rounds)
        print(f"{name:36}  {median:>10.2f}{beyond:>15.2f}", flush=True)
    return {}


def _one_round() -> dict[str, float]:
    times = {}
    for name, command in COMMANDS.items():
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times[name] = time.perf_counter() - begun
    return times | _one_step()


def _one_step() -> dict[str, float]:
    """Measures the seconds of a run of one step: until it prints its epoch, and until its process ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*DGM_RUN, "trainer.max_steps=1", f"hydra.run.dir={folder}/run"]
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            first = next(time.perf_counter() for line in process.stdout if line.startswith("epoch 1/1"))
            process.stdout.read()
        ended = time.perf_counter()
    return {"dgm-run, to the first step": first - begun, "dgm-run, one step, to the end": ended - begun}
