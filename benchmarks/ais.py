"""Measures the speed of annealed importance sampling: temperatures a second."""

from collections.abc import Callable

import torch

from benchmarks import gemm_limit, ours
from benchmarks.rbm_training import NUM_HIDDEN
from benchmarks.table import Contender, Options, Ratios, measure, show
from dgm_run.estimators.likelihood.ais import AIS

NUM_CHAINS = 100


def run(options: Options) -> Ratios:
    count = options.turns(300)
    model = ours.model_of(ours.config("model=rbm"), options.device)
    torch.nn.init.normal_(model.weight, std=0.1)  # the units of a trained machine are seldom at one half
    ais = AIS(NUM_CHAINS, count, "linear")
    runs: dict[str, Callable[[], object]] = {"dgm-run": lambda: ais.log_weights(model)}
    gemm_limit.add_limits(runs, gemm_limit.annealing(count, NUM_CHAINS, NUM_HIDDEN, options.device))
    contenders = [Contender(name, count, each) for name, each in runs.items()]
    title = f"Annealed importance sampling, RBM 784-{NUM_HIDDEN}, {NUM_CHAINS} chains"
    return show(title, measure(contenders, options), unit="temperatures/s")
