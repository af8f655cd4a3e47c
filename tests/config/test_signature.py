from collections.abc import Callable, Sequence
from typing import Any, Literal, Optional

import pytest

from dgm_run.config.signature import check_node, check_type, import_target
from dgm_run.encoders.base import Encoder
from dgm_run.errors import ConfigError
from dgm_run.posteriors.base import Posterior

ENCODER = {"_target_": "dgm_run.encoders.mlp.MLPEncoder", "shape": [1, 2], "hidden_dims": [3], "activation": "tanh"}
POSTERIOR = {
    "_target_": "dgm_run.posteriors.gaussian.GaussianPosterior",
    "encoder": ENCODER,
    "latent_dim": 2,
    "log_var_range": [-6, 2.0],
}
PRIOR = {"_target_": "dgm_run.priors.standard.StandardPrior", "latent_dim": 2}


class Toy:
    def __init__(self, size: int, rate: float = 0.1, part: Encoder | None = None, *, parts: Sequence[Encoder] = ()):
        pass


def make_toy(size: int, name: str = "toy") -> Toy:
    return Toy(size)


def unannotated(size, rate=0.1):
    return size


def node(target, **arguments):
    return {"_target_": f"{__name__}.{target}", **arguments}


def message(check, *arguments):
    with pytest.raises(ConfigError) as error:
        check(*arguments)
    return str(error.value)


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (int, [0, -3]),
        (float, [0.5, 1, float("inf")]),
        (bool, [True]),
        (str, ["", "a"]),
        (Literal["a", "b"], ["b"]),
        (int | None, [1, None]),
        (Optional[float], [1, 0.5, None]),  # noqa: UP045 - the older spelling is to work as well
        (Sequence[int], [[], [1, 2]]),
        (Sequence[float], [[1, 0.5]]),
        (tuple[int, ...], [[1, 2]]),
        (list[str], [["a"]]),
        (Sequence[int] | None, [None, [1]]),
        (Any, [1, None, "a", [1], {}]),
        (Callable, [PRIOR]),
        (Callable[[int], int] | None, [PRIOR, None]),
        (Encoder, [ENCODER]),
        (Encoder | None, [ENCODER, None]),
        (Sequence[Encoder], [[], [ENCODER, ENCODER]]),
    ],
    ids=str,
)
def test_values_that_fit_annotation_admitted(hint, values):
    assert [check_type(value, hint, "key") for value in values] == [None] * len(values)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("ten", int, "Value 'ten' of type 'str' could not be converted to Integer"),
        (1.0, int, "Value '1.0' of type 'float' could not be converted to Integer"),
        (True, int, "Value 'True' of type 'bool' could not be converted to Integer"),
        (None, int, "Value 'None' of type 'NoneType' could not be converted to Integer"),
        (PRIOR, int, "needs to be of kind Integer; StandardPrior is not"),
        ("x", float, "Value 'x' of type 'str' could not be converted to Float"),
        (False, float, "Value 'False' of type 'bool' could not be converted to Float"),
        (1, bool, "Value '1' of type 'int' could not be converted to Boolean"),
        (1, str, "Value '1' of type 'int' could not be converted to String"),
        ("c", Literal["a", "b"], "Value 'c' of type 'str' could not be converted to one of a, b"),
        ("x", int | None, "Value 'x' of type 'str' could not be converted to Integer or null"),
        (False, int | None, "Value 'False' of type 'bool' could not be converted to Integer or null"),
        ("x", Literal["a"] | None, "Value 'x' of type 'str' could not be converted to one of a or null"),
        (3, Sequence[int], "Value '3' of type 'int' could not be converted to List of Integer"),
        ("34", Sequence[int], "Value '34' of type 'str' could not be converted to List of Integer"),
        ([1, "x"], Sequence[int], "Value '[1, 'x']' of type 'list' could not be converted to List of Integer"),
        ([1, "x"], Sequence[float] | None, "Value '[1, 'x']' of type 'list' could not be converted to List of Float"),
        (3, Callable, "Value '3' of type 'int' could not be converted to Callable"),
        (3, Encoder, "Value '3' of type 'int' could not be converted to Encoder"),
        (None, Encoder, "Value 'None' of type 'NoneType' could not be converted to Encoder"),
        ("mlp", Encoder | None, "Value 'mlp' of type 'str' could not be converted to Encoder or null"),
        (PRIOR, Encoder, "needs to be of kind Encoder; StandardPrior is not"),
        (PRIOR, Encoder | None, "needs to be of kind Encoder or null; StandardPrior is not"),
        ([PRIOR], Sequence[Encoder], f"Value '{[PRIOR]}' of type 'list' could not be converted to List of Encoder"),
    ],
    ids=str,
)
def test_other_values_are_refused(value, hint, expected):
    assert message(check_type, value, hint, "group.key").startswith(f"group.key: {expected}")


def test_one_of_several_kinds_is_enough():
    assert check_type(POSTERIOR, Encoder | Posterior, "key") is None


def test_node_that_fits_passes_with_parts():
    assert check_node(POSTERIOR, "posterior") is None
    assert check_node(node("Toy", size=1, part=ENCODER, parts=[ENCODER]), "toy") is None
    assert check_node({"a": POSTERIOR, "b": None, "c": [1, {"d": 2}]}, "group") is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"latent_dimm": 2},
            "posterior.latent_dimm: GaussianPosterior has no argument latent_dimm; did you mean posterior.latent_dim?",
        ),
        (
            {"latent_dim": "two"},
            "posterior.latent_dim: Value 'two' of type 'str' could not be converted to Integer",
        ),
        ({"encoder": PRIOR}, "posterior.encoder: needs to be of kind Encoder; StandardPrior is not"),
        (
            {"encoder": ENCODER | {"activation": "tan"}},
            "posterior.encoder.activation: Value 'tan' of type 'str' could not be converted to "
            "one of gated, relu, leaky_relu, tanh, softplus, elu",
        ),
    ],
    ids=["unknown", "type", "kind", "nested"],
)
def test_wrong_argument_refused_by_full_key(change, expected):
    assert message(check_node, POSTERIOR | change, "posterior") == expected


def test_a_missing_argument_is_named():
    without = {name: value for name, value in POSTERIOR.items() if name != "latent_dim"}
    assert message(check_node, without, "posterior") == (
        "posterior.latent_dim: GaussianPosterior needs it, and it is not set"
    )
    assert message(check_node, node("make_toy"), "toy") == "toy.size: make_toy needs it, and it is not set"


def test_partial_node_may_lack_arguments():
    assert check_node(node("Toy", _partial_=True), "toy") is None
    assert message(check_node, node("Toy", _partial_=True, size="x"), "toy").startswith("toy.size: Value 'x'")
    assert message(check_node, node("Toy", _partial_=True, sise=1), "toy").startswith("toy.sise: Toy has no argument")


def test_nodes_inside_lists_and_containers_are_checked():
    bad = node("make_toy", size=1, name=2)
    expected = "name: Value '2' of type 'int' could not be converted to String"
    assert message(check_node, [1, bad], "toys") == f"toys[1].{expected}"
    assert message(check_node, {"first": {"second": bad}}, "toys") == f"toys.first.second.{expected}"


def test_names_are_checked_without_hints():
    assert check_node(node("unannotated", size="anything"), "toy") is None
    assert message(check_node, node("unannotated", size=1, age=2), "toy") == (
        "toy.age: unannotated has no argument age; it takes size, rate"
    )


def test_a_target_is_what_its_path_names():
    assert import_target({"_target_": "dgm_run.encoders.base.Encoder"}, "encoder") is Encoder


@pytest.mark.parametrize("nothing", [{}, {"_target_": None}, None, 3, {"latent_dim": 2}], ids=str)
def test_a_node_without_a_target_is_refused(nothing):
    expected = "model: has no _target_: choose one of the group, e.g. model=NAME"
    assert message(import_target, nothing, "model") == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("dgm_run.nowhere.Model", "No module named 'dgm_run.nowhere'"),
        ("dgm_run.encoders.base.Model", "module 'dgm_run.encoders.base' has no attribute 'Model'"),
        ("Model", "Empty module name"),
    ],
)
def test_target_that_does_not_exist_refused(path, reason):
    assert message(import_target, {"_target_": path}, "model") == f"model._target_: cannot find {path} ({reason})"
