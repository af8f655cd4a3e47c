"""`python -m benchmarks.log_z RUN_DIR`: how far log Z of a run's energy model lies from a reference, by schedule.

The reference is the mean of independent runs of many temperatures. A schedule is run under several seeds; a row has the
errors, how many of them are within 0.3 nats, and how many of the stated 95% intervals hold the reference.
"""

import argparse
import math
import statistics
from collections.abc import Sequence

import torch

import dgm_run
from dgm_run.estimators.likelihood.ais import AIS
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.base import EnergyModel

CLOSE = 0.3
"""Nats from the reference."""
REFERENCE_SEED = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log_z", description=__doc__)
    parser.add_argument("run_dir")
    parser.add_argument("--schedules", nargs="+", default=["adaptive", "sigmoid", "salakhutdinov_murray", "linear"])
    parser.add_argument("--num-temperatures", type=int, default=4000)
    parser.add_argument("--num-chains", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--reference", type=float, help="log Z, where it is known; else it is found")
    parser.add_argument("--reference-temperatures", type=int, default=200_000)
    parser.add_argument("--reference-runs", type=int, default=20)
    parser.add_argument("--reference-chains", type=int, default=10, help="of each run")
    args = parser.parse_args()
    model = dgm_run.load(args.run_dir).energy
    reference = args.reference
    if reference is None:
        values = find_reference(model, args.reference_temperatures, args.reference_runs, args.reference_chains)
        reference, error = statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))
        print(f"reference: {reference:.3f} ± {error:.3f}, mean of {len(values)} runs", flush=True)
    print("| schedule | mean error | root mean square | largest | within 0.3 | intervals that hold it |")
    print("| --- | --- | --- | --- | --- | --- |")
    for schedule in args.schedules:
        ais = AIS(args.num_chains, args.num_temperatures, schedule)
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        print(measure(model, ais, seeds, reference), flush=True)


def find_reference(model: EnergyModel, num_temperatures: int, num_runs: int, num_chains: int) -> list[float]:
    """Returns log Z by each of independent runs, which go side by side in one batch of chains."""
    torch.manual_seed(REFERENCE_SEED)
    log_w = AIS(num_runs * num_chains, num_temperatures, "adaptive").log_weights(model)
    return (model.log_base_partition() + log_mean_exp(log_w.view(num_runs, num_chains).T)).tolist()


def measure(model: EnergyModel, ais: AIS, seeds: Sequence[int], reference: float) -> str:
    """Returns the row of a schedule."""
    errors, held = [], 0
    for seed in seeds:
        torch.manual_seed(seed)
        found = ais(model)
        errors.append(found.value - reference)
        low, high = found.margin.around(found.value)
        held += low <= reference <= high
    size = math.sqrt(statistics.mean(error**2 for error in errors))
    largest = max(errors, key=abs)
    close = sum(abs(error) <= CLOSE for error in errors)
    cells = (f"{statistics.mean(errors):+.3f}", f"{size:.3f}", f"{largest:+.2f}", f"{close} of {len(errors)}",
             f"{held} of {len(errors)}")  # fmt: skip
    return f"| {ais.schedule}, {ais.num_temperatures:,} × {ais.num_chains} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
