"""The commands of the README and of the pages in docs/, read from their text, and what makes them short."""

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file

import dgm_run
from tests.support.tables import draw_cells, write_csv

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "reference" not in path.parts  # made by `make docs`
}
"""The text of each page by its path, the README first."""

TUTORIALS = [name for name in PAGES if name.startswith("docs/tutorials/")]

TEXT = "\n".join(PAGES.values())

SMALL = {
    "trainer.max_epochs": 1,
    "trainer.max_steps": 2,
    "trainer.pretraining.max_epochs": 1,
    "trainer.image_every_epochs": None,
    "hydra.sweeper.n_trials": 2,
}
"""Settings that make any run short."""

SMALL_ESTIMATORS = {
    "num_samples": 20,
    "num_temperatures": 5,
    "num_examples": 10,
    "max_steps": 3,
    "num_permutations": 20,
    "num_simulated": 2,
}
"""Settings that make any estimator, and any partition function, cheap."""


def read_commands(text: str = TEXT) -> list[list[str]]:
    """Returns the words of every indented command that starts with dgm-, in the order of the text."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if re.match(r"    (dgm-|tensorboard )", line)]
    return [each for each in commands if "..." not in each and "--help" not in each]


def read_code(text: str = TEXT) -> list[str]:
    """Returns the blocks of Python, in the order of the text."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def read_session(text: str) -> list[list[str] | str]:
    """Returns the words of each command and the text of each block of Python, in the order of a page."""
    session: list[list[str] | str] = []
    for i, part in enumerate(re.split(r"```python\n(.*?)```", text, flags=re.DOTALL)):
        session += [part] if i % 2 else read_commands(part)
    return session


def own_prior() -> tuple[str, str]:
    """Returns mine.py and conf/prior/mine.yaml as docs/own_parts.md shows them."""
    text = PAGES["docs/own_parts.md"]
    (code,) = [each for each in read_code(text) if each.startswith("# mine.py\n")]
    (yaml,) = re.findall(r"```yaml\n(# conf/prior/mine.yaml\n.*?)```", text, re.DOTALL)
    return code, yaml


def write_own_prior(folder: Path, conf: str = "conf") -> None:
    """Writes the prior and its YAML into a folder."""
    code, yaml = own_prior()
    (folder / conf / "prior").mkdir(parents=True)
    (folder / "mine.py").write_text(code)
    (folder / conf / "prior" / "mine.yaml").write_text(yaml)


def write_own_classes(folder: Path) -> None:
    """Writes the logger of docs/recording.md with its YAML, and the callback of docs/training.md, into a folder."""
    for code in read_code():
        name = re.match(r"# (print_logger|quit_early)\.py\n", code)
        if name:
            (folder / f"{name[1]}.py").write_text(code)
    (yaml,) = re.findall(r"```yaml\n(# conf/logger/print.yaml\n.*?)```", PAGES["docs/recording.md"], re.DOTALL)
    (folder / "conf" / "logger").mkdir(parents=True)
    (folder / "conf" / "logger" / "print.yaml").write_text(yaml)


def is_sweep(arguments: list[str]) -> bool:
    return bool({"-m", "--multirun"} & set(arguments))


def overrides_of(arguments: list[str]) -> list[str]:
    """Returns the overrides among the arguments, without those of Hydra itself and of the sweep."""
    kept = [each for each in arguments if not each.startswith(("-", "hydra", "sweep."))]
    return [each for each in kept if "=" in each or each.startswith("~")]


def jobs(arguments: list[str]) -> Iterator[list[str]]:
    """Yields the overrides of each job of a sweep, or those of a run."""
    choices = []
    for override in overrides_of(arguments):
        key, _, value = override.partition("=")
        if re.match(r"tag\(|choice\(", value):
            continue  # a search chooses as it goes
        values = value.split(",") if is_sweep(arguments) and not value.startswith(("[", "'")) else [value]
        choices.append([f"{key}={each}" for each in values])
    for job in product(*choices):
        yield list(job)


def shorten(configs: list[DictConfig], given: list[str]) -> list[str]:
    """Returns overrides that make these runs short, of keys that all of them have and the command does not set."""
    found: dict[str, Any] | None = None
    for config in configs:
        own = {key: value for key, value in SMALL.items() if OmegaConf.select(config, key, default="?") != "?"}
        for top in ("estimators", "objective", "trainer"):
            node = OmegaConf.to_container(config, resolve=False).get(top) or {}
            own |= dict(_cheap(node, top))
        found = own if found is None else {key: found[key] for key in found if key in own}
    taken = {each.partition("=")[0] for each in given}
    return [f"{key}={'null' if value is None else value}" for key, value in (found or {}).items() if key not in taken]


def _cheap(node: Any, key: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, dict):
        return
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _cheap(value, f"{key}.{name}")
        elif name in SMALL_ESTIMATORS and isinstance(value, int) and value > SMALL_ESTIMATORS[name]:
            is_of_training = key in ("objective", "trainer")
            if not is_of_training or name == "num_temperatures":
                yield f"{key}.{name}", SMALL_ESTIMATORS[name]


def covering_jobs(arguments: list[str]) -> Iterator[list[str]]:
    """Yields as few jobs of a sweep as hold every override of it."""
    seen: set[str] = set()
    rest = list(jobs(arguments))
    while rest:
        best = max(rest, key=lambda job: len(set(job) - seen))
        yield best
        seen |= set(best)
        rest = [job for job in rest if set(job) - seen]


def compose_jobs(arguments: list[str], *more: str) -> list[DictConfig]:
    """Composes each job of a run or of a sweep."""
    return [dgm_run.compose(*job, *more) for job in jobs(arguments)]


def write_data(folder: Path) -> None:
    """Writes files that stand for MNIST, Fashion-MNIST, PTB, and a user's own arrays and text."""
    generator = np.random.default_rng(0)
    for name in ("MNIST", "FashionMNIST"):
        for stem, num in (("train", 10_400), ("t10k", 60)):
            y = np.arange(num) % 10
            x = generator.integers(0, 64, (num, 28, 28)) + 16 * y[:, None, None]
            x[:, :, 14 + (name == "MNIST") :] += 40
            _write_idx(folder / name / "raw" / f"{stem}-images-idx3-ubyte", x)
            _write_idx(folder / name / "raw" / f"{stem}-labels-idx1-ubyte", y)
    words = ["the", "cat", "sees", "a", "tree", "and", "hears", "my", "dog", "today"]
    sentences = [" ".join(generator.choice(words, 7)) for _ in range(1500)]
    (folder / "ptb").mkdir()
    for name in ("train", "valid", "test"):
        (folder / "ptb" / f"ptb.{name}.txt").write_text("\n".join(sentences[: 500 if name == "train" else 60]))


def write_adapter(folder: Path) -> None:
    """Writes the module of docs/external_models.md, and its weights, into a folder."""
    (code,) = [each for each in read_code() if each.startswith("# adapter.py\n")]
    (folder / "adapter.py").write_text(code)
    names: dict[str, Any] = {}
    exec(compile(code, "adapter.py", "exec"), names)  # the project's own text
    save_file(names["make"]().state_dict(), folder / "theirs.safetensors")


def write_own_files(folder: Path) -> None:
    """Writes what the pages call mine.npz, mine.npy, mine.csv, people.csv and mine.txt.

    mine.npy and mine.csv are as digits are, people.csv has columns of all kinds.
    """
    generator = np.random.default_rng(0)
    np.savez(folder / "mine.npz", x=generator.integers(0, 256, (2100, 28, 28), dtype=np.uint8))
    bits = generator.integers(0, 2, (20, 8, 8))
    np.save(folder / "mine.npy", bits)
    np.savetxt(folder / "mine.csv", bits.reshape(20, 64), fmt="%d", delimiter=",")
    write_csv(folder / "people.csv", {"age": generator.integers(20, 70, 400).tolist(), **draw_cells(400)}, missing=0.1)
    words = ["the", "cat", "sees", "a", "tree", "and", "hears", "my", "dog", "today"]
    sentences = [" ".join(generator.choice(words, 7)).capitalize() + "." for _ in range(1500)]
    (folder / "mine.txt").write_text(" ".join(sentences))


def _write_idx(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + sizes + torch.from_numpy(values).to(torch.uint8).numpy().tobytes())
