"""The text of `dgm-run --help`: commands, and every choice of every group with the first comment of its file."""

import textwrap
from pathlib import Path

import yaml

WIDTH = 80
INDENT = 24
"""The column in which descriptions begin."""

HEAD = """dgm-run: train deep generative models, and know their likelihood.

  dgm-run                                  a VAE on embedded digits, in a minute
  dgm-run model=vae prior=vampprior        choose parts
  dgm-run prior.num_components=99 seed=1   set keys
  dgm-run -m objective=elbo,iwae           sweep (sweep.dry_run=true: list it)
  dgm-run +experiment=NAME                 a row of a paper (see --experiments)
  dgm-run ... trainer.resume=RUN_DIR       go on with a stopped run
  dgm-run sweep.resume=SWEEP_DIR           run what is missing of a sweep
  dgm-run ... --cfg job                    show every key with its value

Choices, as GROUP=CHOICE; * marks those of a plain `dgm-run`:
"""

FOOT = """
Your own: --config-dir FOLDER adds choices, as FOLDER/prior/mine.yaml;
--package NAME lets parts of your own be built from a run folder.
Completion: eval "$(dgm-run --shell-completion install=bash)"  (also zsh, fish)
Hydra's own options: dgm-run --hydra-help. Version: dgm-run --version
"""

GROUPS = {
    "model": "what is trained",
    "prior": "p(z)",
    "posterior": "q(z | x)",
    "encoder": "network from x",
    "decoder": "network from z",
    "likelihood": "p(x | z) of a pixel or word",
    "objective": "what training minimises",
    "dataset": "what is modelled",
    "dataset/corrupt": "holes and noise in the data",
    "optimizer": "",
    "schedule": "of the learning rate",
    "trainer": "how the model is fitted",
    "estimators": "numbers found after training, as estimators=[NAME,NAME]",
}
"""Groups in the order of the help, each with a few words."""


def help_text(folder: Path) -> str:
    """Returns the help, from the YAML files below a configuration folder."""
    defaults = _defaults(folder)
    lines = [HEAD]
    for group, words in GROUPS.items():
        lines.append(f"{group}: {words}" if words else group)
        for path in sorted((folder / group).glob("*.yaml")):
            lines += _entry(path.stem, describe_choice(path), path.stem in defaults.get(group, ()))
        lines.append("")
    return "\n".join(lines[:-1]) + "\n" + FOOT


def describe_choice(path: Path) -> str:
    """Returns the first comment line of a YAML file, without its package header; empty where there is none."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return ""
        if not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""


def _entry(name: str, description: str, is_default: bool) -> list[str]:
    start = f"{'*' if is_default else ' '} {name}"
    lines = textwrap.wrap(description, WIDTH - INDENT)
    if len(start) >= INDENT - 1:
        return [start, *(" " * INDENT + line for line in lines)]
    return [f"{start:{INDENT}}{line}" if i == 0 else " " * INDENT + line for i, line in enumerate(lines or [""])]


def _defaults(folder: Path) -> dict[str, list[str]]:
    """Returns the default choices of each group."""
    node = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in node["defaults"] if isinstance(entry, dict)]
    pairs = [(group, choice) for entry in entries for group, choice in entry.items() if choice is not None]
    return {group: choice if isinstance(choice, list) else [choice] for group, choice in pairs}
