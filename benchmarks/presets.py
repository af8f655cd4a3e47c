"""`python -m benchmarks.presets`: how long each preset would train on one core of a CPU, by its first steps.

The data are noise of the same shape, as most data sets are not at hand, and cost the same. Presets that train in
several phases, and those of sentences, are left out. Validation and the final evaluation come on top.
"""

import argparse
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from omegaconf import OmegaConf

import dgm_run
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.presets import read_presets
from dgm_run.data.split import RawSplit, RawSplits

NUM_TRAIN = {
    "caltech101_silhouettes": 4100,
    "fashion_mnist": 50_000,
    "frey_faces": 1565,
    "histopathology": 6800,
    "mnist": 50_000,
    "omniglot": 23_000,
    "static_mnist": 50_000,
}
SECONDS = 4.0
"""Of training that the speed is taken from, once the first steps have shown how many steps these are."""


class Noise:
    """Random levels with random labels.

    Args:
        num_train: examples to train on; a hundred each are for validation and test.
        shape: of an example.
        num_levels: of its elements.
        num_classes: of the labels; null for none.
    """

    def __init__(self, num_train: int, shape: list[int], num_levels: int, num_classes: int | None):
        self.num_train, self.shape = num_train, tuple(shape)
        self.num_levels, self.num_classes = num_levels, num_classes

    def __call__(self) -> RawSplits:
        return RawSplits(*map(self._split, (self.num_train, 100, 100)))

    def _split(self, n: int) -> RawSplit:
        x = torch.randint(self.num_levels, (n, *self.shape), dtype=torch.uint8)
        return RawSplit(x, torch.arange(n) % self.num_classes if self.num_classes else None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presets", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="presets with this in their names")
    only = parser.parse_args().only
    for name, hours in forecasts(only):
        print(f"{name}\t{hours:.3g} h", flush=True)


def forecasts(only: str) -> Iterator[tuple[str, float]]:
    """The presets whose name holds `only`, with their hours of training."""
    for preset in read_presets(conf_dir() / "experiment"):
        if only not in preset.name or preset.dataset not in NUM_TRAIN or not preset.epochs:
            continue
        cfg = dgm_run.compose(f"+experiment={preset.name}")
        if "pretraining" in cfg.trainer:
            continue
        rate = _examples_per_second(preset.name, 2)
        steps = max(2, round(SECONDS * rate / cfg.trainer.batch_size))
        rate = _examples_per_second(preset.name, steps)
        yield preset.name, cfg.trainer.max_epochs * NUM_TRAIN[preset.dataset] / rate / 3600


def _examples_per_second(name: str, num_steps: int) -> float:
    cfg = dgm_run.compose(
        f"+experiment={name}", "trainer.threads=1", "trainer.device=cpu", "trainer.max_epochs=1000000",
        f"trainer.max_steps={num_steps}", "trainer.image_every_epochs=null",
    )  # fmt: skip
    cfg.estimators, data = {}, cfg.dataset
    cfg.dataset.source = OmegaConf.create(
        {
            "_target_": "benchmarks.presets.Noise",
            "num_train": max(5000, num_steps * cfg.trainer.batch_size),
            "shape": data.shape,
            "num_levels": data.num_levels,
            "num_classes": data.num_classes,
        }
    )
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        return dgm_run.run(cfg, Path(folder) / "run")["training"]["examples_per_second"]


if __name__ == "__main__":
    main()
