"""Run folders as runs leave them, written by hand."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from dgm_run.recording import estimate_id


def config(prior="StandardPrior", seed=0, **more) -> dict:
    node = {
        "model": {"_target_": "dgm_run.models.latent.vae.VAE", "latent_dim": 2, "prior": "${prior}"},
        "prior": {"_target_": f"dgm_run.priors.{prior}", "latent_dim": 2},
        "dataset": {"name": "digits", "label_seed": seed, "source": {"split_seed": 0}},
        "estimators": {"importance_sampling": {"num_samples": 5}},
        "trainer": {"resume": None, "threads": seed + 1},
        "seed": seed,
    }
    if prior == "VampPrior":
        node["prior"]["num_components"] = 10
    for key, value in more.items():
        at = node
        *above, last = key.split("__")
        for name in above:
            at = at[name]
        at[last] = value
    return node


def estimate(value, quantity="log_likelihood", stderr=0.1, settings=None, **more) -> dict:
    return {
        **{"quantity": quantity, "estimator": "importance_sampling", "kind": "estimate", "value": value},
        **{"stderr": stderr, "num_examples": 4, "unit": "nats", "settings": settings or {"num_samples": 5}},
        **{"diagnostics": {}, "warning": None, "train_reference": None, "split": "test", "seconds": 1.0},
    } | more


def write(folder: Path, node: dict, estimates=None, values=None, published=None, curve=(-3.0, -2.0, -1.5)) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(node))
    lines = [{"step": i, "epoch": i + 1, "name": "valid/elbo", "value": v} for i, v in enumerate(curve)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if estimates is None:
        return folder
    found = {
        "model": "VAE", "dataset": "digits", "preprocessing": "dynamic", "seed": node["seed"], "published": published,
        "estimates": estimates, "parameters": 1234, "environment": {"dgm_run": "0.1.0"},
        "training": {"epochs": 3, "seconds": 1.5, "examples_per_second": 1000.0, "stopped_by": "max_epochs",
                     "monitor": "valid/elbo"},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(found))
    if values is not None:
        np.savez(folder / "values.npz", **{estimate_id.values_key(estimates[0]): np.array(values)})
    (folder / "samples").mkdir()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(folder / "samples" / "epoch_0003.png")
    return folder


def sweep(folder: Path) -> Path:
    """Two priors under two seeds: the VampPrior is one nat better on every example."""
    for i, (prior, seed) in enumerate((p, s) for p in ("StandardPrior", "VampPrior") for s in (0, 1)):
        values = (
            np.array([-5.0, -3.0, -4.0, -8.0]) + (prior == "VampPrior") * np.array([1.0, 0.8, 1.2, 1.0]) + 0.1 * seed
        )
        write(folder / str(i), config(prior, seed), [estimate(values.mean())], values)
    return folder
