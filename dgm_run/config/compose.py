"""The configuration: where it lives, its typed root, how it becomes objects, and what is refused before work starts.

Only this file, `cli.py`, its modules `refusals.py` and `dry_run.py`, `commands.py`, `resume.py`, `runner.py` and
`run_folder.py` know Hydra and OmegaConf.
"""

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import InstantiationException
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dgm_run.config.bounds import check_range
from dgm_run.config.commands import is_data_path, quote
from dgm_run.config.published import check_published
from dgm_run.config.signature import annotations, check_node, check_type, target_of
from dgm_run.config.suggestions import leaves, nearest_keys
from dgm_run.errors import ConfigError, UserError
from dgm_run.memory import is_out_of_memory

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


def conf_dir() -> Path:
    """The folder of YAML files: inside the installed package, or beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def compose(*overrides: str, config_dir: str | os.PathLike | None = None) -> DictConfig:
    """Composes the configuration of `dgm-run OVERRIDES...`, for use from Python.

    Args:
        overrides: as on the command line.
        config_dir: a folder of your own YAML files, as `--config-dir` names one.

    Raises:
        ConfigError: there is no such folder.
    """
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"config_dir: there is no folder {config_dir}: name one with YAML files")
    also = [] if config_dir is None else [f"hydra.searchpath=[{quote(f'file://{os.path.abspath(config_dir)}')}]"]
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = hydra.compose("config", overrides=[*overrides, *also])
    annotate_published(cfg, overrides)
    return cfg


def resolve_data_paths(cfg: DictConfig, base: str | os.PathLike) -> dict[str, str]:
    """Makes the data paths of a configuration absolute, in place.

    Args:
        cfg: the configuration.
        base: the folder that relative paths start from.

    Returns:
        `data_dir`, and every other path that was relative, by key.
    """
    places = {}
    for key in ("data_dir", *filter(is_data_path, _keys(OmegaConf.to_container(cfg, resolve=False)))):
        try:
            value = OmegaConf.select(cfg, key)
        except OmegaConfBaseException:  # told where the configuration is checked
            continue
        if isinstance(value, str) and (key == "data_dir" or not os.path.isabs(value)):
            places[key] = os.path.abspath(os.path.join(base, os.path.expanduser(value)))
            OmegaConf.update(cfg, key, places[key])
    return places


def _keys(node: Any, key: str = "") -> Iterator[str]:
    """The dotted keys of all leaves."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _keys(value, f"{key}.{name}" if key else str(name))
    else:
        yield key


def annotate_published(cfg: DictConfig, overrides: Iterable[str]) -> None:
    """Says where published numbers stand what overrides have changed of their preset; of other data there are none."""
    keys = [(each, each.partition("=")[0].lstrip("+~")) for each in overrides]
    changed = [each for each, key in keys if not key.endswith("seed") and not key.startswith(PRESET_NEUTRAL_KEYS)]
    if any(each.lstrip("+~").startswith("dataset") for each in changed):
        cfg.published = None
    elif changed and OmegaConf.is_dict(cfg.published) and "source" in cfg.published:
        cfg.published.source += f"; changed: {', '.join(changed)}"


def instantiate(node: Any) -> Any:
    """Builds the object tree of a node.

    Raises:
        ConfigError: a constructor refuses its arguments; one line names the key.
        UserError: whatever else a constructor raises of this kind.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError) or (cause and is_out_of_memory(cause)):
            raise cause from None
        key = str(error).rsplit("full_key: ", 1)[1] if "full_key: " in str(error) else ""
        raise ConfigError(_line(key, cause or error)) from cause
    except OmegaConfBaseException as error:
        raise ConfigError(describe_omegaconf(error)) from error


def _line(key: str, error: BaseException) -> str:
    """Returns what a constructor raised as one line after its key."""
    message = str(error).strip().split("\n")[0] or type(error).__name__
    if not isinstance(error, ValueError):  # of another library, or of ours beyond its checks
        message = f"cannot be built ({type(error).__name__}: {message})"
    return f"{key}: {message}" if key else message


def describe_omegaconf(error: OmegaConfBaseException) -> str:
    """Returns one line about a value that is missing, that refers to nothing, or that has another type."""
    key, message = error.full_key or "", str(error.msg or error).split("\n")[0]
    if isinstance(error, MissingMandatoryValue):
        return f"{key}: it is not set: add {key}=..."
    environment = re.search(r"Environment variable '(.+)' not found", message)
    if environment:
        message = f"it refers to the environment variable {environment[1]}, which is not set"
    if "is not Optional" in message:
        message = "it must have a value"
    missing = re.search(r"Interpolation key '(.+)' not found", message)
    if missing:
        message = f"it refers to {missing[1]}, and there is no such key"
    return f"{key}: {message}" if key else message


def validate(cfg: DictConfig) -> None:
    """Refuses a configuration that does not fit together, before any work.

    Checked are the arguments of every `_target_` against its signature and annotations, the kinds of parts that the
    model takes, the `requires` of prior, objective, trainer and estimators, and that the model refers exactly once to
    each part chosen. What a preset sets of an estimator that is not chosen is dropped, and `trainer.total_epochs` is
    divided.

    Raises:
        ConfigError: one line that names the key and what to write instead.
    """
    try:
        _validate(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_omegaconf(_locate(cfg, error))) from error


def _locate(cfg: DictConfig, error: OmegaConfBaseException) -> OmegaConfBaseException:
    """Returns the error with its key, which some ways to read a value leave out."""
    if not error.full_key:
        try:
            OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as located:
            return located
    return error


def _validate(cfg: DictConfig) -> None:
    _check_keys(cfg)
    if abs(cfg.seed) >= 2**63:
        raise ConfigError(f"seed = {cfg.seed} must have at most 64 bits")
    _drop_settings_of_unchosen(cfg)
    for key in GROUPS:
        if cfg[key] is None and key not in (*PARTS, "estimators"):
            raise ConfigError(f"{key}: none is chosen: add {key}=...")
    _check_parts(cfg)
    _check_kind_of_data(cfg)
    _check_sizes(cfg)
    holders = {key: cfg[key] for key in (*PARTS, "objective", "trainer", "model")} | {
        f"estimators.{name}": node for name, node in (cfg.estimators or {}).items()
    }
    for key, node in holders.items():
        _check_requires(cfg, key, node)

    plain = as_dict(cfg, resolve=True)
    check_published(plain["published"])
    raw = as_dict(cfg, resolve=False)
    for key in ("trainer", *GROUPS):  # its range of epochs before that of a schedule
        try:
            check_node(plain[key], key)
        except ConfigError as error:
            begins = re.match(r"[\w.]*", str(error))
            at = begins[0] if begins else ""
            raise ConfigError(_source(raw, at) + str(error)[len(at) :]) from None
    _check_optimizer(cfg.trainer, "trainer")
    divide_total_epochs(cfg)


def as_dict(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    """Turns a configuration into plain values; a resolved one must not miss any."""
    plain = OmegaConf.to_container(cfg, resolve=resolve, throw_on_missing=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _source(raw: Mapping[str, Any], key: str) -> str:
    """Returns the key that sets a value: of `schedule.total_iters: ${trainer.max_epochs}` the latter."""
    node: Any = raw
    parts = key.split(".")
    for i, part in enumerate(parts):
        node = node.get(part) if isinstance(node, dict) else None
        follows = re.fullmatch(r"\$\{(\w[\w.]*)\}", node) if isinstance(node, str) else None
        if follows and ("." in follows[1] or follows[1] in GROUPS):
            return _source(raw, ".".join([follows[1], *parts[i + 1 :]]))
    return key


def _check_optimizer(node: DictConfig, key: str) -> None:
    """Builds the optimizer and the schedule of a trainer for one parameter: both are built late in a run."""
    from torch import nn, zeros

    pretraining = node.get("pretraining")
    if pretraining is not None:
        _check_optimizer(pretraining, f"{key}.pretraining")
    names = {name: name if key == "trainer" else f"{key}.{name}" for name in ("optimizer", "schedule")}
    built = [nn.Parameter(zeros(1))]
    for name, full in names.items():
        if node.get(name) is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a run will say the same
                built = instantiate(node[name])(built)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(_line(full, error)) from error


def divide_total_epochs(cfg: DictConfig) -> None:
    """Sets the epochs of every stage of training, in the ratio they have, so that their sum is `trainer.total_epochs`.

    All layers get the same number, and the whole what is left; where it is not trained, the sum may be less.

    Raises:
        ConfigError: there are more stages than epochs.
    """
    trainer, total = cfg.trainer, cfg.trainer.get("total_epochs")
    if total is None:
        return
    num_layers = target_of(cfg.model, "model").count_stages(cfg.model) if "pretraining" in trainer else 0
    is_joint = not num_layers or trainer.joint
    if total < num_layers + is_joint:
        layers = f"{num_layers} layer{'s' * (num_layers > 1)}" if num_layers else ""
        stages = " and ".join(filter(None, (layers, "the whole model" if is_joint else "")))
        raise ConfigError(
            f"trainer.total_epochs={total}: {stages} must have an epoch each: set {num_layers + is_joint} or more"
        )
    rest = total
    if num_layers:
        layer, whole = trainer.pretraining.max_epochs, trainer.max_epochs if is_joint else 0
        if min(layer, trainer.max_epochs) < 1:
            return  # which the trainer refuses
        share = round(total * layer / (num_layers * layer + whole)) if is_joint else total
        trainer.pretraining.max_epochs = min(max(1, share), (total - is_joint) // num_layers)
        rest = total - num_layers * trainer.pretraining.max_epochs
    if is_joint:
        trainer.max_epochs = rest


def _drop_settings_of_unchosen(cfg: DictConfig) -> None:
    """A preset may set an estimator that the command line has replaced by another, or by null."""
    for name, node in list((cfg.estimators or {}).items()):
        is_known = (conf_dir() / "estimators" / f"{name}.yaml").exists()
        if node is None or (is_known and isinstance(node, DictConfig) and "_target_" not in node):
            with open_dict(cfg.estimators):
                del cfg.estimators[name]


def _check_keys(cfg: DictConfig) -> None:
    known = {field.name for field in fields(Config)}
    for key in map(str, cfg):
        if key not in known:
            own = OmegaConf.masked_copy(cfg, [name for name in cfg if name in known])
            meant = nearest_keys(key, leaves(OmegaConf.to_container(own, resolve=False)), GROUPS)
            hint = f": did you mean {' or '.join(meant)}?" if meant else ""
            raise ConfigError(f"{key}: there is no such key{hint}")
    for key in known - set(cfg):
        raise ConfigError(f"{key}: it is not set: add {key}=...")


def _check_sizes(cfg: DictConfig) -> None:
    """Sizes that parts share are set in one place, which the others refer to."""
    for part in (*PARTS, "model"):
        for name, source in SHARED_SIZES.items():
            node = cfg[part]
            if source != part and node is not None and name in node and not OmegaConf.is_interpolation(node, name):
                raise ConfigError(f"{part}.{name}: it follows {source}.{name}: set that")
    if "num_classes" in cfg.model and cfg.dataset.get("num_classes") is None:
        named = target_of(cfg.model, "model").__name__
        own = "set dataset.num_classes=K if yours have labels, or " if cfg.dataset.get("source", {}).get("path") else ""
        raise ConfigError(f"model: {named} learns from labels, and the data have none: {own}choose {_with_labels()}")
    for name, value in cfg.model.items():
        if not str(name).endswith("_dim"):
            continue
        check_type(value, int, f"model.{name}")  # before a part is blamed that refers to it
        check_range(value, target_of(cfg.model, "model"), str(name), f"model.{name}")


def _with_labels() -> str:
    return _data_sets(lambda node: node.get("num_classes"))


def _load(path: Path) -> DictConfig:
    node = OmegaConf.load(path)
    assert isinstance(node, DictConfig)
    return node


def _data_sets(admits: Callable[[DictConfig], Any]) -> str:
    found = [path.stem for path in sorted((conf_dir() / "dataset").glob("*.yaml")) if admits(_load(path))]
    return f"dataset={' | '.join(found)}"


def _has_key(name: str, node: DictConfig) -> bool:
    return name in node


def _check_kind_of_data(cfg: DictConfig) -> None:
    """Parts refer to what their data have: images have grey levels, and sentences a vocabulary."""
    dataset = target_of(cfg.dataset, "dataset")
    if cfg.dataset.get("corrupt") is not None and "corrupt" not in annotations(dataset):
        raise ConfigError("dataset/corrupt: holes and noise are of images and vectors, not of sentences: drop it")
    for part in (*PARTS, "model"):
        for reference in re.findall(r"\$\{dataset\.(\w+)\}", str(as_dict(cfg, resolve=False)[part])):
            if reference not in cfg.dataset:
                named, choices = (
                    target_of(cfg[part], part).__name__,
                    _data_sets(partial(_has_key, reference)),
                )
                raise ConfigError(f"{part}: {named} needs a data set with {reference}: choose {choices}")


def _check_parts(cfg: DictConfig) -> None:
    raw = as_dict(cfg, resolve=False)
    uses = Counter(_parts_reached(raw, "model"))
    model = target_of(cfg.model, "model")
    name, copies = model.__name__, getattr(model, "copies", {})
    for part in PARTS:
        if uses[part] and raw[part] is None:
            raise ConfigError(f"{name} needs a {part}, and none is chosen: add {part}=...")
    for part in PARTS:
        if raw[part] is not None and not uses[part]:
            raise ConfigError(f"{name} takes no {part}: drop {part}=...")
        if uses[part] > copies.get(part, 1):
            raise ConfigError(f"{part}: {name} refers to it {uses[part]} times, which would build it as often")


def _parts_reached(raw: dict, key: str) -> Iterator[str]:
    """The parts that the node `key` refers to, with repetition, through other parts as well."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)
        elif isinstance(node, str) and node.startswith("${") and node[2:-1] in PARTS:
            yield node[2:-1]
            yield from walk(raw[node[2:-1]])

    yield from walk(raw[key])


def _check_requires(cfg: DictConfig, key: str, node: Any) -> None:
    if node is None:
        return
    target = target_of(node, key)
    for other, kind in _requirements(target).items():
        if cfg[other] is None:
            raise ConfigError(f"{key}: {target.__name__} needs a {other}, and none is chosen")
        found = target_of(cfg[other], other)
        if not _is_kind(found, kind):
            parts = set(PARTS) & set(_requirements(target)) if other == "model" else set()

            def admits(choice: Any, kind: type = kind, parts: set[str] = parts) -> bool:
                return _is_kind(choice, kind) and parts <= set(annotations(choice))  # a model has to take the parts

            choices = [_choices(other, admits)]
            if key in ("objective", "prior"):  # what goes with the rest instead
                choices.append(_choices(key, lambda choice: _fits(cfg, choice)))
            instead = " or ".join(filter(None, choices))
            raise ConfigError(
                f"{key}: {target.__name__} needs {other} to be of kind {kind.__name__}; {found.__name__} is not"
                + (f": choose {instead}" if instead else "")
            )


def _requirements(target: Any) -> dict[str, type]:
    """The kinds of other groups that a target goes with: its `requires`, and the parts that it takes."""
    parts = {name: hint for name, hint in annotations(target).items() if name in PARTS and isinstance(hint, type)}
    return parts | getattr(target, "requires", {})


def _is_kind(target: Any, kind: type) -> bool:
    return isinstance(target, type) and issubclass(target, kind)


def _fits(cfg: DictConfig, target: Any) -> bool:
    """Whether all that a target requires is chosen."""
    return all(
        cfg[other] is not None and _is_kind(target_of(cfg[other], other), kind)
        for other, kind in _requirements(target).items()
    )


def _choices(group: str, admits: Callable[[Any], bool]) -> str:
    """What to choose of a group, as words of a message; empty where there is nothing."""
    names = [name for name, target in _targets(group).items() if admits(target)]
    return f"{group}={' | '.join(names)}" if names else ""


@cache
def _targets(group: str) -> dict[str, Any]:
    """What each choice of a group builds."""
    nodes = {path.stem: _load(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    return {name: target_of(node.get(group, node), group) for name, node in nodes.items()}
