"""Checks a configuration node against the signature of its `_target_`: arguments, types, ranges, kinds of parts."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from collections.abc import Sequence as AbstractSequence
from importlib import import_module
from typing import Any, Literal

from dgm_run.config.annotations import read_annotations
from dgm_run.config.bounds import check_range
from dgm_run.config.suggestions import suggest_keys
from dgm_run.errors import ConfigError

_TYPE_NAMES = {int: "Integer", float: "Float", bool: "Boolean", str: "String"}


def import_target(node: Any, key: str) -> Any:
    """Imports the class or function that `node._target_` names.

    Raises:
        ConfigError: there is none.
    """
    path = node.get("_target_") if hasattr(node, "get") else None
    if not path:
        raise ConfigError(f"{key}: has no _target_: choose one of the group, e.g. {key}=NAME")
    module, _, name = str(path).rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}._target_: cannot find {path} ({error})") from None


def check_node(node: Any, key: str) -> None:
    """Checks every node with a `_target_` in a plain container against the signature of its target.

    Raises:
        ConfigError: an argument is unknown, missing, or of a wrong type or range.
    """
    if isinstance(node, dict):
        if "_target_" in node:
            _check_arguments(node, key)
        for name, value in node.items():
            check_node(value, f"{key}.{name}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            check_node(value, f"{key}[{position}]")


def _check_arguments(node: dict, key: str) -> None:
    target = import_target(node, key)
    parameters = inspect.signature(target).parameters
    hints = read_annotations(target)
    given = [name for name in node if not (name.startswith("_") and name.endswith("_"))]
    has_kwargs = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    for name in given:
        if name not in parameters and not has_kwargs:
            meant = " or ".join(f"{key}.{other}" for other in suggest_keys(name, parameters))
            instead = f"did you mean {meant}?" if meant else f"it takes {', '.join(parameters)}"
            raise ConfigError(f"{key}.{name}: {target.__name__} has no argument {name}; {instead}")
        if name in hints:
            check_type(node[name], hints[name], f"{key}.{name}")
        check_range(node[name], target, name, f"{key}.{name}")
    if not node.get("_partial_"):
        for name, parameter in parameters.items():
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if parameter.default is parameter.empty and not is_variadic and name not in given:
                raise ConfigError(f"{key}.{name}: {target.__name__} needs it, and it is not set")


def check_type(value: Any, hint: Any, key: str) -> None:
    """Refuses a value that the annotation does not admit.

    Raises:
        ConfigError: the value has a wrong type; the message names key, value and type.
    """
    if _is_admitted(value, hint, key):
        return
    if isinstance(value, dict) and "_target_" in value:
        raise ConfigError(
            f"{key}: needs to be of kind {_describe_type(hint)}; {import_target(value, key).__name__} is not"
        )
    raise ConfigError(
        f"{key}: Value '{value}' of type '{type(value).__name__}' could not be converted to {_describe_type(hint)}"
    )


def _is_admitted(value: Any, hint: Any, key: str) -> bool:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if hint is Any or hint is inspect.Parameter.empty or isinstance(hint, typing.TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_is_admitted(value, option, key) for option in arguments)
    if origin is Literal:
        return value in arguments
    if hint is None or hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if origin in (list, tuple, AbstractSequence, Iterable):
        inner = [option for option in arguments if option is not Ellipsis]
        return isinstance(value, list) and all(any(_is_admitted(v, h, key) for h in inner) for v in value)
    if Callable in (hint, origin):
        return isinstance(value, dict) and "_target_" in value
    if isinstance(value, dict) and "_target_" in value:
        target = import_target(value, key)
        return not (isinstance(target, type) and isinstance(hint, type)) or issubclass(target, hint)
    return not (isinstance(hint, type) and hint.__module__.partition(".")[0] in ("dgm_run", "torch"))


def _describe_type(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(str(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        # a tensor cannot be written in a configuration
        options = [option for option in typing.get_args(hint) if getattr(option, "__module__", "") != "torch"]
        return " or ".join(map(_describe_type, options))
    if hint is type(None):
        return "null"
    if typing.get_origin(hint) in (list, tuple, AbstractSequence, Iterable):
        return "List of " + _describe_type(typing.get_args(hint)[0])
    if Callable in (hint, typing.get_origin(hint)):
        return "Callable"
    return _TYPE_NAMES.get(hint, hint.__name__ if isinstance(hint, type) else str(hint))
