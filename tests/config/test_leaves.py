import pytest

from dgm_run.config.leaves import format_leaf, iterate_leaves


def test_leaves_have_dotted_keys():
    node = {"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}
    assert list(iterate_leaves(node)) == [("a.b", 1), ("a.c", {}), ("d", [1, {"e": 2}])]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (0, "0"), (1e-3, "0.001"), ([1, None, [False]], "[1, null, [false]]"), ("a", "a")],
)
def test_leaf_is_written_as_an_override(value, text):
    assert format_leaf(value) == text
