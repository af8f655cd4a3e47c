"""Command lines drawn from conf/, with right and wrong values: each is run to its end or refused in a few lines."""

import random
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from dgm_run.config.compose import compose
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.hydra_errors import list_choices
from dgm_run.config.schema import GROUPS
from dgm_run.config.suggestions import list_settable_keys
from dgm_run.errors import UserError
from tests.support.tiny import dgm_run

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
NO_NUMBERS = (*SHORT, "estimators=[]")
VAE = ("model.latent_dim=3", "encoder.hidden_dims=[8]", "decoder.hidden_dims=[8]")
SENTENCES = ("dataset=pcfg", "dataset.source.num_train=1100", "dataset.source.num_valid=50")
LAYERS = ("model.num_hidden=[8,8]", "trainer.pretraining.max_epochs=1")
BASES = (
    *((*VAE, *SHORT, f"estimators=[{name}]") for name in ("importance_sampling", "sample_quality", "imputation")),
    *((*VAE, *NO_NUMBERS, choice) for choice in ("prior=vampprior", "prior=mixture", "objective=iwae", "model=hvae")),
    *((*VAE, *NO_NUMBERS, f"posterior={name}") for name in ("iaf", "planar_flow", "full_gaussian", "nice_flow")),
    *((*NO_NUMBERS, f"optimizer={name}") for name in ("sgd", "rmsprop", "adamax", "adamw")),
    *((*NO_NUMBERS, f"schedule={name}") for name in ("burda", "cosine", "linear", "plateau")),
    *((*NO_NUMBERS, *VAE, f"dataset/corrupt={name}") for name in ("missing_at_random", "missing_block", "bit_flip")),
    *((*NO_NUMBERS, f"encoder={name}", f"decoder={name}") for name in ("conv", "resnet")),
    *((*NO_NUMBERS, "model=rbm", "model.num_hidden=8", f"objective={name}") for name in ("cd", "pcd", "fast_pcd")),
    ("model=rbm", "model.num_hidden=8", *SHORT),
    ("model=gaussian_rbm", "model.num_hidden=8", *NO_NUMBERS),
    ("model=boltzmann", *NO_NUMBERS),
    ("model=dbn", *LAYERS, *NO_NUMBERS),
    ("model=dbm", *LAYERS, *NO_NUMBERS),
    ("model=m2", *VAE[1:], "model.latent_dim=12", *NO_NUMBERS),
    ("model=gan", *NO_NUMBERS),
    ("model=factor_analysis", "model.latent_dim=2", *SHORT, "estimators=[exact]"),
    ("model=density_network", *VAE[2:], *NO_NUMBERS),
    ("model=autoregressive", "decoder.network.num_layers=1", *NO_NUMBERS),
    ("model=sentence_vae", *SENTENCES, *NO_NUMBERS),
    ("model=language_model", *SENTENCES, *SHORT, "estimators=[ngram_baseline]"),
    ("dataset=gaussian_mixture", "likelihood=gaussian", "dataset.source.num_train=200", *NO_NUMBERS),
    ("dataset=bars_and_stripes", "model=rbm", "objective=exact", *NO_NUMBERS),
)


def keys_of(group: str, choice: str) -> list[str]:
    """Returns the keys of a choice, without those of other groups that its file sets as well."""
    text = (conf_dir() / group / f"{choice}.yaml").read_text()
    node = yaml.safe_load(text)
    node = node.get(group, node) if "# @package _global_" in text else node
    keys = [key for key in list_settable_keys(node) if not key.startswith("defaults") and not key.endswith("_partial_")]
    return [f"{group}.{key}" for key in keys]


def draw_value(rng: random.Random, default: object) -> str:
    """Draws a value of a key: as it is, a neighbour of it, or one of the wrong ones."""
    if rng.random() < 0.3:
        return rng.choice(VALUES)
    if isinstance(default, bool):
        return rng.choice(("true", "false"))
    if isinstance(default, int):
        return str(rng.choice((default, max(default // 2, 1), 1, 2, 3)))
    if isinstance(default, float):
        return str(rng.choice((default, default / 2, default * 2, 0.0, 0.5)))
    if isinstance(default, list):
        return str([*default, *default[-1:]] if rng.random() < 0.3 else default).replace(" ", "")
    return "null" if default is None else f"'{default}'" if rng.random() < 0.7 else "abc"


def draw_line(rng: random.Random) -> list[str]:
    """Draws one of the bases, and values for a few of its keys; now and then a choice that goes with it or not."""
    line = list(rng.choice(BASES))
    plain = OmegaConf.to_container(compose(*line), resolve=False)
    keys = [key for key in list_settable_keys(plain) if not key.startswith(("published", "data_dir"))]
    keys = [key for key in keys if "_partial_" not in key]
    for key in rng.sample(keys, rng.randint(1, 3)):
        line = [part for part in line if part.partition("=")[0] != key]
        prefix = rng.choice(("++", "~", "+")) if rng.random() < 0.1 else ""
        default = OmegaConf.select(OmegaConf.create(plain), key)
        default = OmegaConf.to_container(default) if OmegaConf.is_config(default) else default
        line.append(f"{prefix}{key}={draw_value(rng, default)}")
    if rng.random() < 0.15:
        group = rng.choice(GROUPS)
        choice = rng.choice(list_choices(group))
        line.append(f"{group}=[{choice}]" if group == "estimators" else f"{group}={choice}")
    if rng.random() < 0.1:
        line.append(rng.choice(("modle=vae", "prior=nope", "seed=x", "--nope", "-m", "sweep.dry_run=true", "=1")))
    return line


@pytest.mark.slow
@pytest.mark.parametrize("number", range(NUM_LINES))
def test_a_command_line_runs_or_is_refused(number: int, tmp_path: Path):
    line = draw_line(random.Random(f"{SEED} {number}"))
    done = dgm_run(*line, cwd=tmp_path)
    told = f"{' '.join(line)}\n{done.stderr}"
    assert done.returncode in (0, 1), told
    assert "Traceback" not in done.stderr, told
    if done.returncode:
        assert 1 <= done.stderr.count("\n") <= 4, told
    elif "sweep.dry_run=true" not in line:
        assert list(tmp_path.rglob("results.json")), told


def every_key() -> list[tuple[str, str, str]]:
    return [
        (group, choice, key) for group in GROUPS for choice in list_choices(group) for key in keys_of(group, choice)
    ]


@pytest.mark.slow
def test_a_wrong_value_is_refused_in_a_line():
    from dgm_run.runner.assemble import check_config

    rng, faults = random.Random(SEED), []
    for group, choice, key in rng.sample(every_key(), 60):  # half a second for each value
        for value in rng.sample(VALUES, 2):
            chosen = f"{group}=[{choice}]" if group == "estimators" else f"{group}={choice}"
            try:
                check_config(compose(chosen, f"{key}={value}"))
            except UserError as error:
                if "\n" in str(error):
                    faults.append(f"{chosen} {key}={value}: {error}")
            except Exception as error:  # what a user would see as a traceback
                faults.append(f"{chosen} {key}={value}: {type(error).__name__}: {error}")
    assert not faults, "\n".join(faults)
