"""Contenders measured in turns, and what came out as a table of ratios."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

BARE = "dgm-run's model in a bare loop"
GEMMS = "matrix products alone"
TORCH_GEMMS = "matrix products alone, by torch.mm"
DECODER = "the decoder's passes alone"
LOADER = "plain loop, DataLoader of tensors"
PLAIN = "plain loop of the same networks"
PYTHAE = "pythae 0.1.2"
SKLEARN = "scikit-learn, PCD-1"
REFERENCES = {
    "x pythae": PYTHAE,
    "x scikit-learn": SKLEARN,
    "x DataLoader": LOADER,
    "x plain loop": PLAIN,
    "x bare loop": BARE,
    "of passes": DECODER,
    "of products": GEMMS,
    "of torch.mm": TORCH_GEMMS,
}

PAUSE = 0.3
"""Seconds between two turns: the threads of another library's pool wait for work on a core for a while."""


@dataclass(frozen=True)
class Options:
    """Options of the command line.

    Attributes:
        device: cpu or cuda.
        rounds: turns of every contender.
        effort: scales the work of a turn.
        compile: measure with torch.compile, too.
        pythae: it is installed.
    """

    device: torch.device
    rounds: int
    effort: float
    compile: bool
    pythae: bool

    def turns(self, count: int) -> int:
        """`count` steps or images, scaled by the effort."""
        return max(1, round(count * self.effort))


@dataclass(frozen=True)
class Contender:
    """Something that works through images.

    Attributes:
        name: of its row.
        images: worked through by one call.
        run: does so.
    """

    name: str
    images: int
    run: Callable[[], object]


def measure(contenders: Sequence[Contender], options: Options) -> dict[str, list[float]]:
    """Images per second of every contender in every round: A B C A B C ..., so that drift meets all alike."""
    for contender in contenders:
        contender.run()  # compiles, allocates, fills the caches
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(options.rounds):
        for contender in contenders:
            time.sleep(PAUSE)
            rates[contender.name].append(contender.images / seconds(contender.run, options.device))
    return rates


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall-clock time of one call, with what it left on the device."""
    _wait_for(device)
    begun = time.perf_counter()
    run()
    _wait_for(device)
    return time.perf_counter() - begun


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Ratios = dict[str, dict[str, float]]
"""Ratios of each contender, by the heading of their column."""


def show(title: str, rates: Mapping[str, Sequence[float]], unit: str = "images/s") -> Ratios:
    """Prints one row a contender, and returns its ratios: medians of the ratios within each round."""
    width = max(map(len, rates))
    references = {heading: name for heading, name in REFERENCES.items() if name in rates}
    ratios = {name: {heading: _ratio(own, rates[references[heading]]) for heading in references}
              for name, own in rates.items()}  # fmt: skip
    print(f"\n{title}\n{'':{width}}  {unit:>14}" + "".join(f"{heading:>16}" for heading in references))
    for name, own in rates.items():
        columns = "".join(f"{ratio:>16.2f}" for ratio in ratios[name].values())
        print(f"{name:{width}}  {_format_rate(statistics.median(own)):>14}{columns}", flush=True)
    return ratios


def _ratio(own: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(own, other, strict=True))


def _format_rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
