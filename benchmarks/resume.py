"""Stops and resumes runs on a device, and compares them with runs that were not stopped: python -m benchmarks.resume.

Prints one row a model: whether all metrics and estimates are equal, and the largest difference.
"""

import argparse
import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHORT = ("trainer.max_epochs=6", "trainer.checkpoint_seconds=0.2", "trainer.image_every_epochs=null")
RUNS = {
    "VAE": ("model=vae", "estimators.importance_sampling.num_samples=50"),
    "RBM, PCD": ("model=rbm", "objective=pcd"),
    "GAN": ("model=gan", "estimators=[]"),
}
WAIT = 120
"""Seconds to wait for the first checkpoint."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu | cuda")
    device = parser.parse_args().device
    print("| model | stopped after | equal | largest difference |\n| --- | --- | --- | --- |")
    for name, overrides in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {name} | {' | '.join(compare(Path(folder), (*overrides, *SHORT, f'trainer.device={device}')))} |")


def compare(folder: Path, overrides: tuple[str, ...]) -> tuple[str, str, str]:
    """Returns the number of values logged before the stop, whether the runs are equal, and their largest difference."""
    _wait(_start(folder / "whole", overrides))
    process = _start(folder / "stopped", overrides)
    deadline = time.monotonic() + WAIT
    while not (folder / "stopped" / "checkpoints" / "last").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait()
    num_before = len(read_values(folder / "stopped"))
    _wait(_start(folder / "stopped", (*overrides, "trainer.resume=auto")))
    whole, stopped = (read_values(folder / name) for name in ("whole", "stopped"))
    if whole.keys() != stopped.keys():
        return str(num_before), "no", "other values are logged"
    largest = max(measure_difference(whole[key], stopped[key]) for key in whole)
    return f"{num_before} of {len(whole)} values", "yes" if largest == 0 else "no", f"{largest:.3g}"


def measure_difference(a: float, b: float) -> float:
    """Returns |a - b|: zero for equal infinities or two NaN, and infinity where only one of them is NaN."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return math.inf if math.isnan(a - b) else abs(a - b)


def read_values(folder: Path) -> dict[tuple, float]:
    """Returns the logged metrics by step and name, and the estimates of a finished run by quantity and estimator."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = {(line["step"], line["name"]): line["value"] for line in lines}
    if (folder / "results.json").exists():
        rows = json.loads((folder / "results.json").read_text())["estimates"]
        values |= {(row["quantity"], row["estimator"]): row["value"] for row in rows}
    return values


def _start(folder: Path, overrides: tuple[str, ...]) -> subprocess.Popen:
    command = [sys.executable, "-m", "dgm_run", *overrides, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _wait(process: subprocess.Popen) -> None:
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(map(str, process.args))} ended with status {process.returncode}")


if __name__ == "__main__":
    main()
