"""Measures the speed of annealed importance sampling: temperatures a second."""

import torch

from benchmarks import gemm_limit, ours
from benchmarks.rbm_training import NUM_HIDDEN
from benchmarks.table import GEMMS, Contender, Options, Ratios, measure, show
from dgm_run.estimators.likelihood.ais import AIS

NUM_CHAINS = 100


def run(options: Options) -> Ratios:
    count = options.turns(300)
    model = ours.model_of(ours.config("model=rbm"), options.device)
    torch.nn.init.normal_(model.weight, std=0.1)  # the units of a trained machine are seldom at one half
    ais = AIS(NUM_CHAINS, count, "linear")
    contenders = [
        Contender("dgm-run", count, lambda: ais.log_weights(model)),
        Contender(GEMMS, count, gemm_limit.annealing(count, NUM_CHAINS, NUM_HIDDEN, options.device)),
    ]
    title = f"Annealed importance sampling, RBM 784-{NUM_HIDDEN}, {NUM_CHAINS} chains"
    return show(title, measure(contenders, options), unit="temperatures/s")
