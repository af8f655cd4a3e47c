"""Measures the training speed of an RBM: images a second of whole steps."""

from collections.abc import Callable

from sklearn.neural_network import BernoulliRBM

from benchmarks import gemm_limit, ours
from benchmarks.data import load
from benchmarks.plain import BATCH_SIZE
from benchmarks.table import BARE, SKLEARN, Contender, Options, Ratios, measure, show
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributed.device import has_bf16_units

NUM_HIDDEN = 500
PIXELS = "dataset.binarize=threshold"  # scikit-learn draws no pixels
SHORTEST_AIS = ("num_temperatures=1", "max_num_temperatures=1", "num_chains=2")
"""Settings of the AIS at the end of a turn, which comes after fewer steps than an epoch has."""


def run(objective: str, num_steps: int, options: Options) -> Ratios:
    title = f"RBM 784-{NUM_HIDDEN}, batches of {BATCH_SIZE}, {objective.upper()}-{num_steps}: training"
    return show(title, measure(_contenders(objective, num_steps, options), options))


def _contenders(objective: str, num_steps: int, options: Options) -> list[Contender]:
    data, steps = load(options.device, PIXELS), options.turns(300 if num_steps == 1 else 30)
    watch = [f"objective.partition.fallback.{setting}" for setting in SHORTEST_AIS]
    overrides = ["model=rbm", PIXELS, *watch, f"objective={objective}", f"objective.num_steps={num_steps}"]
    runs = {
        "dgm-run": ours.trainer_loop(data, options, steps, *overrides),
        BARE: ours.bare_loop(data, options, steps, *overrides),
    }
    if options.compile:
        compiled = ours.trainer_loop(data, options, steps, "trainer.compile=true", *overrides)
        runs["dgm-run, trainer.compile=true"] = compiled
        if has_bf16_units(options.device):
            bf16 = ["trainer.compile=true", "trainer.precision=bf16", *overrides]
            runs["dgm-run, the same in bf16"] = ours.trainer_loop(data, options, steps, *bf16)
    if num_steps == 1:
        runs[SKLEARN] = _scikit_learn(data, steps)
    gemm_limit.add_limits(runs, gemm_limit.contrastive_divergence(steps, NUM_HIDDEN, num_steps, options.device))
    return [Contender(name, steps * BATCH_SIZE, run) for name, run in runs.items()]


def _scikit_learn(data: LoadedDataset, steps: int) -> Callable[[], object]:
    """PCD-1, the only one it has."""
    x = data.train.batch(slice(0, steps * BATCH_SIZE)).flatten(1).cpu().numpy()
    return lambda: BernoulliRBM(NUM_HIDDEN, learning_rate=0.05, batch_size=BATCH_SIZE, n_iter=1).fit(x)
