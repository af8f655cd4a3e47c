"""Checks that the parts of a configuration fit together, before any work starts."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache, partial
from inspect import signature
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dgm_run.config.annotations import read_annotations
from dgm_run.config.bounds import check_range
from dgm_run.config.compose import as_config, as_dict, complete_factory, describe_build_error, instantiate
from dgm_run.config.hydra_compose import conf_dir, describe_omegaconf
from dgm_run.config.published import check_published
from dgm_run.config.schema import (
    GROUPS,
    LIST_GROUPS,
    NESTED_LIST_GROUPS,
    PARTS,
    SHARED_SIZES,
    TRAINING_GROUPS,
    Config,
)
from dgm_run.config.signature import check_node, check_type, import_target
from dgm_run.config.suggestions import list_settable_keys, suggest_keys
from dgm_run.errors import ConfigError


def validate(cfg: DictConfig) -> None:
    """Checks that the parts of a configuration fit together, and completes the configuration in place.

    It checks the arguments of every `_target_` against its signature and annotations. It checks the kinds of parts
    that the model takes, and the `requires` of prior, objective, trainer and estimators. The model must refer exactly
    once to each chosen part. Settings of estimators that are not chosen are dropped, `trainer.total_epochs` is divided
    among the stages of training, the columns of a table are read from its file, and the factory of a model becomes a
    node with a `_target_`.

    Raises:
        ConfigError: one line that names the key and what to write instead.
    """
    try:
        _validate_all(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(describe_omegaconf(_locate(cfg, error))) from error


def _locate(cfg: DictConfig, error: OmegaConfBaseException) -> OmegaConfBaseException:
    """Returns the error with its key, which OmegaConf leaves out of some errors."""
    if not error.full_key:
        try:
            OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as located:
            return located
    return error


def _validate_all(cfg: DictConfig) -> None:
    _check_keys(cfg)
    if abs(cfg.seed) >= 2**63:
        raise ConfigError(f"seed = {cfg.seed} must have at most 64 bits")
    _drop_settings_of_unchosen(cfg)
    _refuse_lacking_groups(cfg)
    complete_dataset(cfg)
    complete_factory(cfg)
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
    for key in ("trainer", *GROUPS):  # the trainer's epochs are checked before those of a schedule
        try:
            check_node(plain[key], key)
        except ConfigError as error:
            begins = re.match(r"[\w.]*", str(error))
            named = begins[0] if begins else ""
            raise ConfigError(_find_source_key(raw, named) + str(error)[len(named) :]) from None
    _check_optimizer(cfg.trainer, "trainer")
    divide_total_epochs(cfg)


def _refuse_lacking_groups(cfg: DictConfig) -> None:
    """Refuses groups of which no choice is made, and drops those that the trainer does not use, in place."""
    used: tuple[str, ...] = ()
    for key in ("trainer", *GROUPS):
        if key in TRAINING_GROUPS and key not in used:
            cfg[key] = None  # as a schedule that refers to the epochs of another trainer
        if cfg[key] is None and (key not in TRAINING_GROUPS or key in used) and key not in (*PARTS, *LIST_GROUPS):
            raise ConfigError(f"{key}: none is chosen: add {key}=...")
        if key == "trainer":
            used = getattr(import_target(cfg.trainer, "trainer"), "uses", TRAINING_GROUPS)


def complete_dataset(cfg: DictConfig) -> None:
    """Fills in the settings of a data set that follow from its file, such as the columns of a table, in place."""
    complete = getattr(import_target(cfg.dataset, "dataset"), "complete", None)
    if complete is not None:
        check_node(as_dict(cfg.dataset.source, resolve=True), "dataset.source")
        for name, value in complete(instantiate(cfg.dataset.source)).items():
            cfg.dataset[name] = value


def _find_source_key(raw: Mapping[str, Any], key: str) -> str:
    """Returns the key that sets a value: `trainer.max_epochs` for `schedule.total_iters: ${trainer.max_epochs}`."""
    node: Any = raw
    parts = key.split(".")
    for i, part in enumerate(parts):
        node = node.get(part) if isinstance(node, dict) else None
        follows = re.fullmatch(r"\$\{(\w[\w.]*)\}", node) if isinstance(node, str) else None
        if follows and ("." in follows[1] or follows[1] in GROUPS):
            return _find_source_key(raw, ".".join([follows[1], *parts[i + 1 :]]))
    return key


def _check_optimizer(node: DictConfig, key: str) -> None:
    """Builds optimizer and schedule of a trainer for one parameter, because a run builds them late."""
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
                warnings.simplefilter("ignore")  # a run warns again
                built = instantiate(node[name])(built)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(describe_build_error(full, error)) from error


def divide_total_epochs(cfg: DictConfig) -> None:
    """Scales the epochs of all stages of training so that their sum is `trainer.total_epochs`.

    All layers get the same number of epochs, and joint training gets the rest. Without joint training the sum may be
    smaller.

    Raises:
        ConfigError: there are more stages than epochs.
    """
    trainer = cfg.trainer
    total = cfg.trainer.get("total_epochs")
    if total is None:
        return
    num_layers = import_target(cfg.model, "model").count_stages(cfg.model) if "pretraining" in trainer else 0
    is_joint = not num_layers or trainer.joint
    if total < num_layers + is_joint:
        layers = f"{num_layers} layer{'s' * (num_layers > 1)}" if num_layers else ""
        stages = " and ".join(filter(None, (layers, "the whole model" if is_joint else "")))
        raise ConfigError(
            f"trainer.total_epochs={total}: {stages} must have an epoch each: set {num_layers + is_joint} or more"
        )
    rest = total
    if num_layers:
        layer_epochs = trainer.pretraining.max_epochs
        if min(layer_epochs, trainer.max_epochs) < 1:
            return  # the trainer refuses it
        most = (total - is_joint) // num_layers
        if is_joint:
            scaled = round(total * layer_epochs / (num_layers * layer_epochs + trainer.max_epochs))
            trainer.pretraining.max_epochs = min(max(1, scaled), most)
        else:
            trainer.pretraining.max_epochs = most
        rest = total - num_layers * trainer.pretraining.max_epochs
    if is_joint:
        trainer.max_epochs = rest


def _drop_settings_of_unchosen(cfg: DictConfig) -> None:
    """Drops a preset's settings of parts that the command line has replaced by another, or by null.

    Such parts are choices of a list of choices, the pretraining of a trainer, and the length of a training that
    trainer=none replaces.
    """
    for group in (*LIST_GROUPS, *NESTED_LIST_GROUPS):
        chosen: Any = OmegaConf.select(cfg, group.replace("/", "."))
        for name, node in list(chosen.items()) if OmegaConf.is_dict(chosen) else ():
            is_known = (conf_dir() / group / f"{name}.yaml").exists()
            if node is None or (is_known and isinstance(node, DictConfig) and "_target_" not in node):
                with open_dict(chosen):
                    del chosen[name]
    if cfg.trainer is None:
        return
    pretraining = cfg.trainer.get("pretraining")
    if pretraining is not None and "_target_" not in pretraining:
        with open_dict(cfg.trainer):
            del cfg.trainer["pretraining"]
    taken = signature(import_target(cfg.trainer, "trainer")).parameters
    for name in as_config(OmegaConf.load(conf_dir() / "trainer" / "gradient.yaml")):
        if name in cfg.trainer and name != "_target_" and name not in taken:
            with open_dict(cfg.trainer):
                del cfg.trainer[str(name)]


def _check_keys(cfg: DictConfig) -> None:
    known = {field.name for field in fields(Config)}
    for key in map(str, cfg):
        if key not in known:
            rest = OmegaConf.masked_copy(cfg, [name for name in cfg if name in known])
            meant = suggest_keys(key, list_settable_keys(OmegaConf.to_container(rest, resolve=False)), GROUPS)
            hint = f": did you mean {' or '.join(meant)}?" if meant else ""
            raise ConfigError(f"{key}: there is no such key{hint}")
    for key in known - set(cfg):
        raise ConfigError(f"{key}: it is not set: add {key}=...")


def _check_sizes(cfg: DictConfig) -> None:
    """Refuses shared sizes that are set in a second place, and labels that the data do not have."""
    for part in (*PARTS, "model"):
        for name, source in SHARED_SIZES.items():
            node = cfg[part]
            if source != part and node is not None and name in node and not OmegaConf.is_interpolation(node, name):
                raise ConfigError(f"{part}.{name}: it follows {source}.{name}: set {source}.{name} instead")
    if "num_classes" in cfg.model and cfg.dataset.get("num_classes") is None:
        model_name = import_target(cfg.model, "model").__name__
        source = cfg.dataset.get("source", {})
        hint = "set dataset.num_classes=K if your data have labels, or " if source.get("path") else ""
        hint = "set dataset.source.label=COLUMN to a column of classes, or " if "label" in source else hint
        problem = f"model: {model_name} learns from labels, and the data have none"
        raise ConfigError(f"{problem}: {hint}choose {_list_data_sets(_has_labels)}")
    for name, value in cfg.model.items():
        if not str(name).endswith("_dim"):
            continue
        check_type(value, int, f"model.{name}")  # a later check would name a part that refers to it
        check_range(value, import_target(cfg.model, "model"), str(name), f"model.{name}")


def _has_labels(node: DictConfig) -> bool:
    return bool(node.get("num_classes"))


def _has_key(name: str, node: DictConfig) -> bool:
    return name in node


def _list_data_sets(admits: Callable[[DictConfig], Any]) -> str:
    found = [
        path.stem for path in sorted((conf_dir() / "dataset").glob("*.yaml")) if admits(as_config(OmegaConf.load(path)))
    ]
    return f"dataset={' | '.join(found)}"


def _check_kind_of_data(cfg: DictConfig) -> None:
    """Refuses parts that need other data: images have grey levels, and sentences have a vocabulary."""
    dataset = import_target(cfg.dataset, "dataset")
    if cfg.dataset.get("corrupt") is not None and "corrupt" not in read_annotations(dataset):
        raise ConfigError("dataset/corrupt: only images and vectors can be corrupted, not sentences: drop it")
    if cfg.dataset.get("augment") and "augment" not in read_annotations(dataset):
        raise ConfigError("dataset/augment: only images can be augmented, not tables and sentences: drop it")
    raw = as_dict(cfg, resolve=False)
    for part in (*PARTS, "model"):
        for reference in re.findall(r"\$\{dataset\.(\w+)\}", str(raw[part])):
            if reference not in cfg.dataset:
                named = import_target(cfg[part], part).__name__
                choices = _list_data_sets(partial(_has_key, reference))
                raise ConfigError(f"{part}: {named} needs a data set with {reference}: choose {choices}")


def _check_parts(cfg: DictConfig) -> None:
    """Refuses parts that the model lacks, does not take, or would build too often."""
    raw = as_dict(cfg, resolve=False)
    uses = Counter(_list_used_parts(raw, "model"))
    model = import_target(cfg.model, "model")
    name = model.__name__
    copies = getattr(model, "copies", {})
    for part in PARTS:
        if uses[part] and raw[part] is None:
            raise ConfigError(f"{name} needs a {part}, and none is chosen: add {part}=...")
    for part in PARTS:
        if raw[part] is not None and not uses[part]:
            raise ConfigError(f"{name} takes no {part}: drop {part}=...")
        if uses[part] > copies.get(part, 1):
            raise ConfigError(
                f"{part}: {name} refers to it {uses[part]} times, which builds {uses[part]} copies: refer to it once"
            )


def _list_used_parts(raw: dict, key: str) -> Iterator[str]:
    """Yields each part that the node `key` refers to, also through other parts, with repetition."""

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
    """Refuses choices of other groups that are not of the kind that a node needs."""
    if node is None:
        return
    target = import_target(node, key)
    for other, kind in _list_requirements(target).items():
        if cfg[other] is None:
            raise ConfigError(f"{key}: {target.__name__} needs a {other}, and none is chosen")
        found = import_target(cfg[other], other)
        if not isinstance(found, type):  # a function: the kind is known when the object is built
            continue
        if not _is_kind(found, kind):
            # another model must also take the parts that the target needs
            parts = set(PARTS) & set(_list_requirements(target)) if other == "model" else set()
            choices = [_describe_choices(other, partial(_is_kind_with_parts, kind=kind, parts=parts))]
            if key in ("objective", "prior"):  # the alternative is another objective or prior
                choices.append(_describe_choices(key, lambda choice: _is_satisfied(cfg, choice)))
            instead = " or ".join(filter(None, choices))
            raise ConfigError(
                f"{key}: {target.__name__} needs {other} to be of kind {kind.__name__}; {found.__name__} is not"
                + (f": choose {instead}" if instead else "")
            )


def _list_requirements(target: Any) -> dict[str, type]:
    """Returns the kinds of other groups that a target needs: its `requires`, and the parts that it takes."""
    parts = {name: hint for name, hint in read_annotations(target).items() if name in PARTS and isinstance(hint, type)}
    return parts | getattr(target, "requires", {})


def _is_kind(target: Any, kind: type) -> bool:
    return isinstance(target, type) and issubclass(target, kind)


def _is_kind_with_parts(target: Any, kind: type, parts: set[str]) -> bool:
    return _is_kind(target, kind) and parts <= set(read_annotations(target))


def _is_satisfied(cfg: DictConfig, target: Any) -> bool:
    """Returns whether all requirements of a target are chosen."""
    return all(
        cfg[other] is not None and _is_kind(import_target(cfg[other], other), kind)
        for other, kind in _list_requirements(target).items()
    )


def _describe_choices(group: str, admits: Callable[[Any], bool]) -> str:
    """Writes the admitted choices of a group for a message; empty if there are none."""
    names = [name for name, target in _load_targets(group).items() if admits(target)]
    return f"{group}={' | '.join(names)}" if names else ""


@cache
def _load_targets(group: str) -> dict[str, Any]:
    """Returns the class that each choice of a group builds, by the name of the choice."""
    nodes = {path.stem: as_config(OmegaConf.load(path)) for path in sorted((conf_dir() / group).glob("*.yaml"))}
    return {name: import_target(node.get(group, node), group) for name, node in nodes.items()}
