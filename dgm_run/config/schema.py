"""Keys of the configuration: its typed root, its groups, and the keys that a resumed run may change."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

PARTS = ("encoder", "likelihood", "decoder", "posterior", "prior")
"""Parts of a model, inner ones first. Each is a key at the top level; the YAML of a model refers to its parts."""

LIST_GROUPS = ("estimators", "logger", "callbacks")
"""Groups of which a configuration has a list of choices, or none."""

NESTED_LIST_GROUPS = ("dataset/augment",)
"""Groups below another one of which a configuration has a list of choices, or none."""

TRAINING_GROUPS = ("objective", "optimizer", "schedule")
"""Groups that serve the training, and that a configuration without training leaves out."""

GROUPS = (*PARTS, "model", "objective", "dataset", "optimizer", "schedule", "trainer", *LIST_GROUPS)

DATA_PATH_KEYS = ("data_dir", "dataset.source.data_dir", "dataset.source.decoded", "dataset.source.path")
"""Keys that hold paths of data. A resumed run may change them, because a digest identifies a user's own data."""

RESUMABLE_KEYS = (
    *("estimators", "logger", "callbacks", "published", *DATA_PATH_KEYS),
    *("trainer.resume", "trainer.device", "trainer.devices", "trainer.worker_timeout_seconds", "trainer.threads"),
    *(
        "trainer.max_epochs",
        "trainer.total_epochs",
        "trainer.max_steps",
        "trainer.max_hours",
        "trainer.patience",
        "trainer.median_stopping_after",
        "trainer.eval_batch_size",
    ),
    *("trainer.image_every_epochs", "trainer.checkpoint_seconds"),
)
"""Keys that a resumed run may change: length of training, logs, estimators, and machine."""

MACHINE_KEYS = (
    *("logger", "callbacks", "data_dir", "dataset.source.data_dir", "dataset.source.decoded"),
    *("trainer.resume", "trainer.device", "trainer.devices", "trainer.worker_timeout_seconds", "trainer.threads"),
)
"""Resumable keys that change no result."""

PRESET_NEUTRAL_KEYS = (
    *("experiment", "hydra", "estimators", "published", "trainer.eval_batch_size", "trainer.image_every_epochs"),
    *("trainer.checkpoint_seconds", "trainer.compile", "dataset.source.download", *MACHINE_KEYS),
)
"""Prefixes of overrides that keep a preset's published number valid."""

SHARED_SIZES = {
    "latent_dim": "model",
    "shape": "dataset",
    "columns": "dataset",
    "num_levels": "dataset",
    "num_classes": "dataset",
}
"""Sizes that several parts share, and the group that sets each size. The columns of a table are such sizes too."""


@dataclass
class Config:
    """Root of every configuration. Hydra refuses a misspelt top-level key; `validate` checks the keys below."""

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
    logger: Any = None
    callbacks: Any = None
    published: Any = None
    seed: int = 0
    data_dir: str = MISSING


ConfigStore.instance().store(name="schema", node=Config)
