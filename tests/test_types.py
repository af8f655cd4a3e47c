"""Type annotations agree with the checks of the running program."""

import ast
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import TypeVar, get_args

import pytest
from torch import nn

import dgm_run
from dgm_run.estimators.base import Estimator
from dgm_run.estimators.imputation.imputer import Imputer
from dgm_run.objectives.base import Objective


def subclasses(kind: type) -> set[type]:
    """Returns the subclasses of a class that the package defines, without the class itself."""
    for package in ("objectives", "estimators"):
        for module in pkgutil.walk_packages([str(Path(dgm_run.__file__).parent / package)], f"dgm_run.{package}."):
            import_module(module.name)
    found = set(kind.__subclasses__())
    found |= {each for child in found for each in subclasses(child)}
    return {each for each in found if each.__module__.startswith("dgm_run.")}


def named_model(kind: type) -> type | None:
    """The model in the brackets of `class ELBO(Objective[ContinuousLatentModel])`; None for a type variable."""
    for base in kind.__orig_bases__:
        for argument in get_args(base):
            return None if isinstance(argument, TypeVar) else argument
    raise AssertionError(f"{kind.__name__} names no model")


@pytest.mark.parametrize("kind", [Objective, Estimator, Imputer])
def test_the_named_model_is_the_required_one(kind):
    found = subclasses(kind)
    assert len(found) >= 5
    for each in found:
        named = named_model(each)
        if named is None:  # a base of several, each of which names its own
            continue
        requires = each.requires if isinstance(each.requires, type) else each.requires.get("model", nn.Module)
        assert issubclass(named, requires), each


def test_checkers_see_the_public_functions():
    tree = ast.parse(Path(dgm_run.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert sorted(seen) == sorted(dgm_run.__all__)
    for name, module in seen.items():
        assert getattr(dgm_run, name) is getattr(import_module(module), name)
