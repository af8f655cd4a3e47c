"""Keys of the configuration: its typed root, its groups, and the keys that a resumed run may change."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

PARTS = ("encoder", "likelihood", "decoder", "posterior", "prior")
"""The parts of a model, inner ones first. Each stands at the top level; the model's YAML refers to those it takes."""

GROUPS = (*PARTS, "model", "objective", "dataset", "optimizer", "schedule", "trainer", "estimators")

DATA_PLACES = ("data_dir", "dataset.source.data_dir", "dataset.source.decoded", "dataset.source.path")
"""Keys that say where the data are. A digest of a user's own data tells whether they are the same ones."""

RESUMABLE_KEYS = (
    *("estimators", "published", *DATA_PLACES),
    *("trainer.resume", "trainer.device", "trainer.devices", "trainer.worker_timeout_seconds", "trainer.threads"),
    *(
        "trainer.max_epochs",
        "trainer.total_epochs",
        "trainer.max_steps",
        "trainer.patience",
        "trainer.median_stopping_after",
        "trainer.eval_batch_size",
    ),
    *("trainer.image_every_epochs", "trainer.checkpoint_seconds"),
)
"""Keys that a resumed run may set anew: how long to train, what to log and report, and on what machine."""

MACHINE_KEYS = (
    *("data_dir", "dataset.source.data_dir", "dataset.source.decoded"),
    *("trainer.resume", "trainer.device", "trainer.devices", "trainer.worker_timeout_seconds", "trainer.threads"),
)
"""Those of them that change no result."""

PRESET_NEUTRAL_KEYS = (
    *("experiment", "hydra", "estimators", "published", "trainer.eval_batch_size", "trainer.image_every_epochs"),
    *("trainer.checkpoint_seconds", "dataset.source.download", *MACHINE_KEYS),
)
"""What an override may begin with that leaves a preset what it is."""

SHARED_SIZES = {"latent_dim": "model", "shape": "dataset", "num_levels": "dataset", "num_classes": "dataset"}
"""Sizes that parts share, each with where it is set."""


@dataclass
class Config:
    """The root of every configuration. A misspelt top-level key is an error; below it `validate` looks."""

    model: Any = None
    prior: Any = None
    posterior: Any = None
    encoder: Any = None
    decoder: Any = None
    likelihood: Any = None
    objective: Any = None
    dataset: Any = None
    optimizer: Any = None
    schedule: Any = None
    trainer: Any = None
    estimators: Any = None
    published: Any = None
    seed: int = 0
    data_dir: str = MISSING


ConfigStore.instance().store(name="schema", node=Config)
