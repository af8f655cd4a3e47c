"""Refuses a configuration whose parts do not fit together, before any work starts."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dgm_run.config.bounds import check_range
from dgm_run.config.compose import conf_dir, describe_build_error, describe_omegaconf, instantiate
from dgm_run.config.published import check_published
from dgm_run.config.schema import GROUPS, PARTS, SHARED_SIZES, Config
from dgm_run.config.signature import annotations, check_node, check_type, target_of
from dgm_run.config.suggestions import leaves, nearest_keys
from dgm_run.errors import ConfigError


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

    plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    check_published(plain["published"])
    raw = OmegaConf.to_container(cfg, resolve=False)
    for key in ("trainer", *GROUPS):  # its range of epochs before that of a schedule
        try:
            check_node(plain[key], key)
        except ConfigError as error:
            at = re.match(r"[\w.]*", str(error))[0]
            raise ConfigError(_source(raw, at) + str(error)[len(at) :]) from None
    _check_optimizer(cfg.trainer, "trainer")
    divide_total_epochs(cfg)


def _source(raw: dict, key: str) -> str:
    """Returns the key that sets a value: of `schedule.total_iters: ${trainer.max_epochs}` the latter."""
    node = raw
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
            raise ConfigError(describe_build_error(full, error)) from error


def divide_total_epochs(cfg: DictConfig) -> None:
    """Sets the epochs of every stage of training, in the ratio they have, so that their sum is `trainer.total_epochs`.

    All layers get the same number, and the whole what is left; where it is not trained, the sum may be less.

    Raises:
        ConfigError: there are more stages than epochs.
    """
    trainer = cfg.trainer
    total = cfg.trainer.get("total_epochs")
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
        layer = trainer.pretraining.max_epochs
        whole = trainer.max_epochs if is_joint else 0
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
    for key in cfg:
        if key not in known:
            own = OmegaConf.masked_copy(cfg, [name for name in cfg if name in known])
            meant = nearest_keys(str(key), leaves(OmegaConf.to_container(own, resolve=False)), GROUPS)
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


def _data_sets(admits: Callable[[DictConfig], Any]) -> str:
    found = [path.stem for path in sorted((conf_dir() / "dataset").glob("*.yaml")) if admits(OmegaConf.load(path))]
    return f"dataset={' | '.join(found)}"


def _check_kind_of_data(cfg: DictConfig) -> None:
    """Parts refer to what their data have: images have grey levels, and sentences a vocabulary."""
    dataset = target_of(cfg.dataset, "dataset")
    if cfg.dataset.get("corrupt") is not None and "corrupt" not in annotations(dataset):
        raise ConfigError("dataset/corrupt: holes and noise are of images and vectors, not of sentences: drop it")
    for part in (*PARTS, "model"):
        for reference in re.findall(r"\$\{dataset\.(\w+)\}", str(OmegaConf.to_container(cfg, resolve=False)[part])):
            if reference not in cfg.dataset:
                named = target_of(cfg[part], part).__name__
                choices = _data_sets(lambda node, name=reference: name in node)
                raise ConfigError(f"{part}: {named} needs a data set with {reference}: choose {choices}")


def _check_parts(cfg: DictConfig) -> None:
    raw = OmegaConf.to_container(cfg, resolve=False)
    uses = Counter(_parts_reached(raw, "model"))
    model = target_of(cfg.model, "model")
    name = model.__name__
    copies = getattr(model, "copies", {})
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
    nodes = {path.stem: OmegaConf.load(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    return {name: target_of(node.get(group, node), group) for name, node in nodes.items()}
