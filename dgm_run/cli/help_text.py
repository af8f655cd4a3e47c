"""Texts of `dgm-run --help` and `dgm-run --choices`: the commands, and the choices of every group."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import yaml

WIDTH = 80
INDENT = 24
"""Column in which descriptions begin."""

HEAD = """\
dgm-run: train deep generative models, and know their likelihood.

  dgm-run                            a VAE on embedded digits, in a minute
  dgm-run model=vae prior=vampprior  choose parts
  dgm-run optimizer.lr=1e-3 seed=1   set keys (--cfg job shows all)
  dgm-run -m objective=elbo,iwae     sweep (sweep.dry_run=true lists it)
  dgm-run -m +hparams_search=vae     search settings by Optuna
  dgm-run +experiment=NAME           run a preset (--experiments lists them)
  dgm-run trainer.resume=RUN_DIR     resume a stopped run
  dgm-run sweep.resume=SWEEP_DIR     resume a sweep or a search

Choices, GROUP=CHOICE (--choices describes; * is the default):
"""

FOOT = """
--config-dir DIR adds your choices, --package NAME your code.
Completion: eval "$(dgm-run --shell-completion install=bash)" (or zsh, fish)
Also: dgm-eval, dgm-sample, dgm-score, dgm-report; --hydra-help; --version
"""

GROUP_DESCRIPTIONS = {
    "model": "model to train",
    "prior": "p(z)",
    "posterior": "q(z | x)",
    "encoder": "network from x",
    "decoder": "network from z",
    "likelihood": "p(x | z) of a pixel or word",
    "objective": "loss that training minimises",
    "dataset": "data to model",
    "dataset/corrupt": "missing values and noise in the data",
    "dataset/augment": "changes of training images, as dataset/augment=[NAME,NAME]",
    "optimizer": "",
    "schedule": "learning-rate schedule",
    "trainer": "training method",
    "estimators": "numbers estimated after training, as estimators=[NAME,NAME]",
    "logger": "where logged values go beside metrics.jsonl, as logger=[NAME,NAME]",
    "callbacks": "code at certain points of training, as callbacks=[NAME,NAME]",
}
"""Groups in the order of the help, each with its description; empty where the name says it."""


def help_text(folder: Path) -> str:
    """Returns the help: the commands, and the names of all choices below a configuration folder."""
    lines = []
    for group in GROUP_DESCRIPTIONS:
        names = " ".join(
            f"*{path.stem}" if is_default else path.stem for path, is_default in _list_choices(folder, group)
        )
        lines += textwrap.wrap(f"{group}: {names}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    return HEAD + "\n".join(lines) + "\n" + FOOT


def describe_choices(folder: Path) -> str:
    """Returns every choice below a configuration folder with the first comment of its file."""
    lines = []
    for group, words in GROUP_DESCRIPTIONS.items():
        lines.append(f"{group}: {words}" if words else group)
        for path, is_default in _list_choices(folder, group):
            lines += _format_entry(path.stem, describe_choice(path), is_default)
        lines.append("")
    return "\n".join([*lines, "* is chosen by default."]) + "\n"


def describe_choice(path: Path) -> str:
    """Returns the first comment line of a YAML file, without its package header; empty where there is none."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return ""
        if not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""


def _format_entry(name: str, description: str, is_default: bool) -> list[str]:
    start = f"{'*' if is_default else ' '} {name}"
    lines = textwrap.wrap(description, WIDTH - INDENT)
    if len(start) >= INDENT - 1:
        return [start, *(" " * INDENT + line for line in lines)]
    return [f"{start:{INDENT}}{line}" if i == 0 else " " * INDENT + line for i, line in enumerate(lines or [""])]


def _list_choices(folder: Path, group: str) -> Iterator[tuple[Path, bool]]:
    """Lists the files of a group's choices, each with whether it is chosen by default."""
    defaults = _read_defaults(folder).get(group, ())
    for path in sorted((folder / group).glob("*.yaml")):
        yield path, path.stem in defaults


def _read_defaults(folder: Path) -> dict[str, list[str]]:
    """Returns the default choices of each group."""
    node = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in node["defaults"] if isinstance(entry, dict)]
    pairs = [(group, choice) for entry in entries for group, choice in entry.items() if choice is not None]
    return {group: choice if isinstance(choice, list) else [choice] for group, choice in pairs}
