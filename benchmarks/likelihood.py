"""Measures the speed of importance sampling of log p(x) with 5,000 samples: test images a second."""

from collections.abc import Callable

from benchmarks import gemm_limit, ours
from benchmarks.data import load
from benchmarks.table import PYTHAE, Contender, Options, Ratios, measure, show

NUM_SAMPLES = 5000
ROWS = 1000
"""Of the decoder at a time, as conf/estimators has it."""


def run(components: int, options: Options) -> Ratios:
    """Measures the rates under N(0, I) for 0 components, else under a VampPrior."""
    prior = f"VampPrior of {components} pseudo-inputs" if components else "standard prior"
    contenders = _contenders(components, options)
    return show(f"Likelihood by {NUM_SAMPLES:,} samples, {prior}", measure(contenders, options))


def _contenders(components: int, options: Options) -> list[Contender]:
    data, device = load(options.device), options.device
    overrides = ["prior=vampprior", f"prior.num_components={components}"] if components else []
    overrides.append(f"estimators.importance_sampling.num_samples={NUM_SAMPLES}")
    many, few = options.turns(40), options.turns(2)
    contenders = [Contender("dgm-run", many, ours.likelihood(data, options, many, *overrides))]
    if options.pythae:
        from benchmarks import peers

        for name, rows in ((PYTHAE, 100), (f"{PYTHAE}, batch_size=500", 500)):  # 100 is its default
            nll = peers.likelihood(data, options, few, components, NUM_SAMPLES, rows)
            contenders.append(Contender(name, few, nll))
    limits: dict[str, Callable[[], object]] = {}
    gemm_limit.add_limits(limits, gemm_limit.likelihood(many, components, NUM_SAMPLES, ROWS, device))
    return contenders + [Contender(name, many, run) for name, run in limits.items()]
