import pytest

from dgm_run.recording.estimate_id import (
    describe_method,
    drop_augmentation,
    estimate_id,
    is_data_identity,
    values_key,
)


def row(**more):
    return {
        "split": "test",
        "quantity": "elbo",
        "estimator": "mine",
        "settings": {"b": 1, "a": 2},
        "num_examples": 3,
    } | more


def test_id_depends_on_everything_but_the_value():
    assert estimate_id(row()) == estimate_id(row(settings={"a": 2, "b": 1}, value=7.0))
    others = [row(split="valid"), row(quantity="kl"), row(estimator="x"), row(settings={}), row(num_examples=4)]
    assert len({estimate_id(each) for each in [row(), *others]}) == 6
    assert len({values_key(each) for each in [row(), *others]}) == 6


def test_a_key_is_read_by_people_too():
    assert values_key(row()).startswith("test/elbo/mine/")
    assert values_key(row()) == values_key(row(settings={"a": 2, "b": 1}))


def test_settings_are_described_in_words():
    assert (
        describe_method("lower_bound", "monte_carlo", {"num_samples": 5})
        == "lower bound by monte_carlo (num_samples=5)"
    )
    assert describe_method("exact", "linear_baseline", {}) == "exact by linear_baseline"
    assert describe_method("exact", "exact", {}) == "exact"


def test_augmentation_is_dropped_from_the_data():
    assert drop_augmentation("fixed; md5 1; training images augmented by flip (axis both)") == "fixed; md5 1"
    assert drop_augmentation("fixed; md5 1") == "fixed; md5 1"


OTHER = {"name": "b", "preprocessing": "none", "settings": {}}


def test_other_data_make_another_row():
    rows = [row(), row(dataset=OTHER), row(dataset=OTHER | {"preprocessing": "md5 1"})]
    assert len({estimate_id(each) for each in rows}) == 3
    assert len({values_key(each) for each in rows}) == 3
    assert estimate_id(row(dataset=None)) == estimate_id(row())


@pytest.mark.parametrize("value", [3, {}, OTHER | {"name": 1}, OTHER | {"settings": None}])
def test_damaged_data_are_no_identity(value):
    assert not is_data_identity(value)
    assert is_data_identity(OTHER)
    assert is_data_identity(None)
