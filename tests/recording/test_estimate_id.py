from dgm_run.recording.estimate_id import key, way, words


def row(**more):
    return {
        "split": "test",
        "quantity": "elbo",
        "estimator": "mine",
        "settings": {"b": 1, "a": 2},
        "num_examples": 3,
    } | more


def test_two_numbers_are_told_apart_by_how_they_were_found():
    assert way(row()) == way(row(settings={"a": 2, "b": 1}, value=7.0))
    others = [row(split="valid"), row(quantity="kl"), row(estimator="x"), row(settings={}), row(num_examples=4)]
    assert len({way(each) for each in [row(), *others]}) == 6
    assert len({key(each) for each in [row(), *others]}) == 6


def test_a_key_is_read_by_people_too():
    assert key(row()).startswith("test/elbo/mine/")
    assert key(row()) == key(row(settings={"a": 2, "b": 1}))


def test_a_way_is_told_in_words():
    assert words("lower_bound", "monte_carlo", {"num_samples": 5}) == "lower bound by monte_carlo (num_samples=5)"
    assert words("exact", "linear_baseline", {}) == "exact by linear_baseline"
    assert words("exact", "exact", {}) == "exact"
