import math

import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom
from dgm_run.data.dataset import Dataset
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.errors import DataError

LEVELS = torch.randint(0, 17, (60, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def source(x=LEVELS, y=None):
    return lambda: RawSplits(*(RawSplit(part, y) for part in x.split(20)))


TOY = source()


def dataset(
    source=TOY, shape=(1, 4, 4), num_levels=17, binarize="none", dequantize=False, noise_seed=777, num_classes=None,
    num_labels=None, label_seed=0, standardize="none", corrupt=None, corrupt_seed=0,
    augment=None,
):  # fmt: skip
    settings = (
        num_levels,
        binarize,
        dequantize,
        noise_seed,
        num_classes,
        num_labels,
        label_seed,
        standardize,
        corrupt,
        corrupt_seed,
        augment,
    )
    return Dataset(source, "toy", shape, *settings)


@pytest.mark.parametrize("options", [{"binarize": "fixed"}, {"binarize": "dynamic"}, {"dequantize": True}], ids=str)
@pytest.mark.parametrize("split", ["valid", "test"])
def test_evaluation_sets_are_fixed(options, split):
    first, second = (getattr(dataset(**options).load(), split) for _ in range(2))
    torch.rand(1)
    batch = first.batch(slice(0, 20))
    assert torch.equal(batch, first.batch(slice(0, 20)))
    assert torch.equal(batch, second.batch(slice(0, 20)))
    assert torch.equal(batch[[3, 5]], first.batch(torch.tensor([3, 5])))


@pytest.mark.parametrize("options", [{"binarize": "fixed"}, {"binarize": "dynamic"}, {"dequantize": True}], ids=str)
def test_noise_seed_changes_evaluation_set(options):
    first, second = (dataset(noise_seed=seed, **options).load().test.batch(slice(0, 20)) for seed in (1, 2))
    assert not torch.equal(first, second)


def test_eval_sets_ignore_training_size():
    train, valid, test = (RawSplit(part) for part in LEVELS.split(20))
    smaller = RawSplits(RawSplit(train.x[:5]), valid, test)
    a, b = (dataset(lambda s=s: s, binarize="fixed").load() for s in (RawSplits(train, valid, test), smaller))
    assert torch.equal(a.test.batch(slice(0, 20)), b.test.batch(slice(0, 20)))


def test_loading_keeps_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    dataset(binarize="fixed").load()
    assert torch.equal(torch.rand(3), expected)


def test_dynamic_pixels_average_to_intensity():
    train = dataset(binarize="dynamic").load().train
    draws = torch.stack([train.batch(slice(0, 20)) for _ in range(2000)])
    assert not torch.equal(draws[0], draws[1])
    assert draws.unique().tolist() == [0, 1]
    p = LEVELS[:20] / 16
    assert (draws.mean(0) - p).abs().max() < 5 * 0.5 / math.sqrt(2000)


def test_fixed_training_pixels_drawn_once():
    train = dataset(binarize="fixed").load().train
    assert torch.equal(train.batch(slice(0, 20)), train.batch(slice(0, 20)))
    assert train.batch(slice(0, 20)).unique().tolist() == [0, 1]


def test_a_threshold_needs_no_noise():
    loaded = dataset(binarize="threshold").load()
    assert torch.equal(loaded.train.batch(slice(0, 20)), (LEVELS[:20] >= 8).float())
    assert torch.equal(loaded.test.batch(slice(0, 20)), (LEVELS[40:] >= 8).float())


def test_grey_levels_become_intensities():
    assert torch.equal(dataset().load().valid.batch(slice(0, 20)), LEVELS[20:40] / 16)


def test_training_redraws_dequantised_values():
    loaded = dataset(dequantize=True).load()
    for split, levels in ((loaded.train, LEVELS[:20]), (loaded.test, LEVELS[40:])):
        assert torch.equal((17 * split.batch(slice(0, 20)) + 1e-5).floor().clamp(max=16), levels.float())
    assert not torch.equal(loaded.train.batch(slice(0, 20)), loaded.train.batch(slice(0, 20)))


def test_real_values_and_labels_pass_unchanged():
    x, y = torch.randn(60, 3), torch.arange(20)
    loaded = dataset(source(x, y), shape=(3,), num_levels=None).load()
    assert torch.equal(loaded.test.batch(slice(0, 20)), x[40:])
    assert torch.equal(loaded.test.y, y)
    assert len(loaded.test) == 20


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({}, "levels", "none"),
        ({"num_levels": 2}, "binary", "none (the data are binary)"),
        ({"num_levels": None}, "continuous", "none"),
        ({"binarize": "threshold"}, "binary", "threshold"),
        (
            {"binarize": "fixed"},
            "binary",
            "fixed (test pixels drawn once with seed 777, training pixels fixed as well)",
        ),
        (
            {"binarize": "dynamic"},
            "binary",
            "dynamic (test pixels drawn once with seed 777, training pixels redrawn)",
        ),
        ({"dequantize": True}, "continuous", "none (uniform dequantisation, test noise drawn once with seed 777)"),
        (
            {"num_levels": 2, "dequantize": True},
            "continuous",
            "none (uniform dequantisation, test noise drawn once with seed 777)",
        ),
    ],
    ids=str,
)
def test_kind_and_protocol_are_described_in_words(options, kind, words):
    assert dataset(**options).kind == kind
    assert dataset(**options).protocol == words


@pytest.mark.parametrize(
    ("options", "depends"),
    [({"binarize": "fixed"}, True), ({"binarize": "dynamic"}, True), ({"dequantize": True}, True),
     ({"binarize": "threshold"}, False), ({}, False)],
    ids=str,
)  # fmt: skip
def test_num_valid_named_if_noise_needs_it(options, depends):
    train, valid, test = (RawSplit(part) for part in LEVELS.split(20))
    both = []
    for num_valid in (20, 5):
        splits = RawSplits(train, RawSplit(valid.x[:num_valid]), test)
        protocol = dataset(lambda splits=splits: splits, **options)
        loaded = protocol.load()
        both.append(loaded.test.batch(slice(0, 20)))
        assert (f"seed 777 after num_valid={num_valid} validation examples" in protocol.protocol) == depends
    assert torch.equal(*both) != depends


@pytest.mark.parametrize(
    "options",
    [
        {"binarize": "fixed", "dequantize": True},
        {"num_levels": None, "binarize": "dynamic"},
    ],
    ids=str,
)
def test_exclusive_options_are_refused(options):
    with pytest.raises(ValueError, match="binarize=none"):
        dataset(**options)


def test_real_values_are_not_dequantised():
    protocol = dataset(
        lambda: RawSplits(*(RawSplit(part.float()) for part in LEVELS.split(20))), num_levels=None, dequantize=True
    )
    assert (protocol.kind, protocol.protocol) == ("continuous", "none")
    test = protocol.load().test
    assert torch.equal(test.batch(slice(0, 20)), LEVELS[40:].float())
    assert test.log_bin_width == 0


def test_construction_reads_nothing():
    def fail():
        raise AssertionError("read too early")

    assert dataset(fail).kind == "levels"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (16,)}, r"declared \[16\], but toy has examples of \[1, 4, 4\]: save x.reshape\(-1, 16\)"),
        ({"num_levels": 16}, "16 levels declared, but toy has values up to 16"),
        ({"source": source(LEVELS + 0.25)}, "real numbers from 0.25 to 16.25, not grey levels"),
        (
            {"source": source(LEVELS.float() / 0), "num_levels": None},
            "train split of toy holds infinite values",
        ),
        ({"source": source(LEVELS, torch.arange(7))}, "20 .* examples and 7 labels"),
        (
            {"source": lambda: RawSplits(*(RawSplit(LEVELS[:n]) for n in (20, 0, 20)))},
            "valid split of toy is empty",
        ),
    ],
    ids=["shape", "levels", "type", "not finite", "labels", "empty"],
)
def test_data_that_not_as_declared_refused(options, message):
    with pytest.raises(DataError, match=message) as error:
        dataset(**options).load()
    assert "\n" not in str(error.value)


def test_one_infinite_value_is_refused():
    x = torch.randn(60, 3)
    x[59, 2] = math.inf
    with pytest.raises(DataError, match="test split of toy holds infinite values"):
        dataset(source(x), shape=(3,), num_levels=None).load()


def test_undeclared_levels_are_refused():
    with pytest.raises(DataError, match="set dataset.num_levels=256"):
        dataset(num_levels=None).load()


@pytest.mark.parametrize(("dequantize", "width"), [(True, -math.log(17)), (False, 0.0)])
def test_dequantised_data_know_the_width_of_a_level(dequantize, width):
    import dgm_run
    from dgm_run.config.compose import instantiate

    options = ("dataset.binarize=none", f"dataset.dequantize={dequantize}")
    loaded = instantiate(dgm_run.compose(*options).dataset).load()
    assert [split.log_bin_width for split in (loaded.train, loaded.valid, loaded.test)] == [width] * 3


LABELS = torch.tensor([0, 1, 2, 1] * 5)  # 5 of class 0, 10 of class 1, 5 of class 2


def test_labels_are_chosen_evenly_by_seed():
    options = {"source": source(y=LABELS), "num_classes": 3, "num_labels": 9}
    first = dataset(**options).load()
    assert LABELS[first.train.labelled].tolist().count(1) == 3
    assert LABELS[first.train.labelled].bincount().tolist() == [3, 3, 3]
    assert torch.equal(dataset(**options, noise_seed=1).load().train.labelled, first.train.labelled)
    assert not torch.equal(dataset(**options, label_seed=1).load().train.labelled, first.train.labelled)
    assert len(first.test.labelled) == 20  # evaluation sees all
    assert len(dataset(source(y=LABELS), num_classes=3).load().train.labelled) == 20


def test_labels_that_not_there_refused():
    with pytest.raises(ValueError, match="num_labels = 10 must be a positive multiple of num_classes = 3"):
        dataset(num_classes=3, num_labels=10)
    with pytest.raises(ValueError, match="the data have no labels: set num_labels=null"):
        dataset(num_labels=10)
    with pytest.raises(
        DataError, match=r"18 labels need 6 of each class, and class 0 of toy has 5: set a smaller number"
    ):
        dataset(source(y=LABELS), num_classes=3, num_labels=18).load()
    with pytest.raises(DataError, match="the train split of toy has no labels: set it to null"):
        dataset(num_classes=3).load()
    with pytest.raises(DataError, match="2 declared, but toy has labels from 0 to 2; -1 is no label"):
        dataset(source(y=LABELS), num_classes=2).load()


KNOWN = RawSplits(*(RawSplit(part, log_p=torch.arange(20.0)) for part in LEVELS.split(20)))


@pytest.mark.parametrize(
    ("options", "known"),
    [
        ({}, True),
        ({"binarize": "dynamic"}, False),
        ({"binarize": "threshold"}, False),
        ({"dequantize": True}, False),
        ({"corrupt": MissingAtRandom(0.5)}, False),
    ],
    ids=["as they are", "dynamic", "threshold", "dequantised", "corrupt"],
)
def test_the_truth_is_known_of_values_that_are_seen_as_they_are(options, known):
    test = dataset(lambda: KNOWN, **options).load().test
    assert (test.log_p is KNOWN.test.log_p) == known
    assert known or test.log_p is None
    assert test.map(lambda x: x).log_p is None
