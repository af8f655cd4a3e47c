"""Command lines drawn from conf/, with right and wrong values: each is run to its end or refused in a few lines."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dgm_run.config import GROUPS, conf_dir
from dgm_run.errors import UserError
from dgm_run.refusals import choices_of, compose
from dgm_run.suggestions import leaves
from tests.tiny import dgm_run

SEED = 20261127
NUM_LINES = 200
VALUES = (
    *(
        "abc",
        "-1",
        "0",
        "1",
        "2",
        "0.5",
        "-0.5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "100000000000000000000",
        "null",
        "true",
    ),
    *("[]", "[0]", "[-1]", "[1,2]", "[[1]]", "[a]", "{}", "{a:1}", "''", "' '", "${nope}", "${seed}", "???", "[nan]"),
    *("1000000000000", "a=b", "x,y", "[1", "'", "}", "(", "dgm_run.nothing"),
)
SHORT = ("trainer.max_steps=1", "trainer.max_epochs=1", "trainer.threads=1", "trainer.device=cpu")
FEW = {  # what makes a choice small
    "gaussian_mixture": ("dataset.source.num_train=200", "dataset.source.num_valid=50", "dataset.source.num_test=50"),
    "laplace_sources": ("dataset.source.num_train=200", "dataset.source.num_valid=50", "dataset.source.num_test=50"),
    "pcfg": ("dataset.source.num_train=1100", "dataset.source.num_valid=50", "dataset.source.num_test=50"),
    "dbm": ("model.num_hidden=[8,8]", "trainer.pretraining.max_epochs=1"),
    "dbn": ("model.num_hidden=[8,8]", "trainer.pretraining.max_epochs=1"),
    "m1_m2": ("trainer.pretraining.max_epochs=1",),
    "layerwise": ("trainer.pretraining.max_epochs=1",),
    "stacked": ("trainer.pretraining.max_epochs=1",),
}
DATA = ("bars_and_stripes", "digits", "gaussian_mixture", "laplace_sources", "pcfg", "pydoc")
"""Data sets that are made here, and small."""
QUICK = ("exact", "importance_sampling", "latent_classification", "linear_baseline", "ngram_baseline", "parzen",
         "pseudo_likelihood")  # fmt: skip
"""Estimators that take seconds."""


def keys_of(group: str, choice: str) -> list[str]:
    """Returns the keys of a choice, without those of other groups that its file sets as well."""
    text = (conf_dir() / group / f"{choice}.yaml").read_text()
    node = yaml.safe_load(text)
    node = node.get(group, node) if "# @package _global_" in text else node
    keys = [key for key in leaves(node) if not key.startswith("defaults") and not key.endswith("_partial_")]
    return [f"{group}.{key}" for key in keys]


def draw_line(rng: random.Random) -> list[str]:
    """Draws choices of a few groups, and values for a few of their keys."""
    line = []
    for group in rng.sample(GROUPS, rng.randint(0, 3)):
        choice = rng.choice({"dataset": DATA, "estimators": QUICK}.get(group) or choices_of(group))
        line.append(f"{group}=[{choice}]" if group == "estimators" else f"{group}={choice}")
    chosen = {part.partition("=")[0]: part.partition("=")[2].strip("[]") for part in line}
    for _ in range(rng.randint(1, 2)):
        group = rng.choice([*(chosen or GROUPS)])
        key = rng.choice(keys_of(group, chosen.get(group) or rng.choice(choices_of(group))))
        line.append(f"{rng.choice(('', '', '', '', '+', '++', '~'))}{key}={rng.choice(VALUES)}")
    if rng.random() < 0.1:
        line.append(rng.choice(("modle=vae", "prior=nope", "seed=x", "--nope", "-m", "sweep.dry_run=true", "=1")))
    return line


def lines() -> Iterator[list[str]]:
    rng = random.Random(SEED)
    for _ in range(NUM_LINES):
        yield draw_line(rng)


@pytest.mark.slow
@pytest.mark.parametrize("line", lines(), ids=" ".join)
def test_a_command_line_runs_or_is_refused(line: list[str], tmp_path: Path):
    chosen = dict(part.lstrip("+~").partition("=")[::2] for part in line)
    tiny = [*SHORT, *(part for choice in chosen.values() for part in FEW.get(choice, ())), "hydra.run.dir=run"]
    tiny += [] if "estimators" in chosen else ["estimators=[]"]
    tiny = [part for part in dict.fromkeys(tiny) if part.partition("=")[0] not in chosen]
    done = dgm_run(*line, *tiny, cwd=tmp_path)
    assert done.returncode in (0, 1), done
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert 1 <= done.stderr.count("\n") <= 4, done.stderr
    elif "sweep.dry_run=true" not in line:
        assert list(tmp_path.rglob("results.json")), done


def every_key() -> list[tuple[str, str, str]]:
    return [(group, choice, key) for group in GROUPS for choice in choices_of(group) for key in keys_of(group, choice)]


@pytest.mark.slow
def test_every_key_with_a_wrong_value_is_taken_or_refused_in_a_line():
    from dgm_run.runner import check

    rng, faults = random.Random(SEED), []
    for group, choice, key in every_key():
        for value in rng.sample(VALUES, 3):
            chosen = f"{group}=[{choice}]" if group == "estimators" else f"{group}={choice}"
            try:
                check(compose([chosen, f"{key}={value}"]))
            except UserError as error:
                if "\n" in str(error):
                    faults.append(f"{chosen} {key}={value}: {error}")
            except Exception as error:  # what a user would see as a traceback
                faults.append(f"{chosen} {key}={value}: {type(error).__name__}: {error}")
    assert not faults, "\n".join(faults)
