import numpy as np
import pytest
import torch
from scipy.stats import binom, kstest

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.augmentations import Augmentation, AugmentationChain, Crop, Flip, Shift
from dgm_run.data.corruptions import BitFlip, MissingAtRandom
from dgm_run.data.memmap import OnDisk
from dgm_run.data.split import RawSplit, RawSplits
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import CheckpointError, ConfigError, DataError
from dgm_run.recording.checkpoint import Checkpoints
from tests.data.test_dataset import dataset
from tests.support.tiny import TINY, TINY_GAN, TINY_LABELLED, TINY_LAYERS, metrics, stop_after

N, C, H, W = 4000, 2, 5, 7
ONE = torch.arange(1, C * H * W + 1, dtype=torch.uint8).view(1, C, H, W)  # every pixel has a value of its own
ALL = ("dataset/augment=[flip,shift,crop]", "dataset.augment.shift.max_shift=1")


def draw(augment, x=ONE, num=N):
    torch.manual_seed(0)
    found = augment(x.expand(num, *x.shape[1:]))
    assert (found.shape, found.dtype) == ((num, *x.shape[1:]), x.dtype)
    return found.numpy()


def check_counts(found, expected, probability):
    """Each draw is one of the expected images, and each of these is as frequent as its probability."""
    counts = [int((found == image).all((1, 2, 3)).sum()) for image in expected]
    assert sum(counts) == len(found)
    low, high = binom.interval(1 - 1e-6, len(found), probability)
    assert all(low <= count <= high for count in counts)


def shift_by_hand(image, down, right, mode):
    """Rolls an image with a border of 2, (C, H, W), and cuts it to its size."""
    padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode)
    return np.roll(padded, (down, right), (1, 2))[:, 2:-2, 2:-2]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
@pytest.mark.parametrize(("axis", "axes"), [("horizontal", [2]), ("vertical", [1]), ("both", [1, 2])])
def test_flips_are_as_frequent_as_set(axis, axes, dtype):
    image = ONE.to(dtype)
    expected = [image[0].numpy()]
    for each in axes:
        expected += [np.flip(one, each) for one in expected]
    check_counts(draw(Flip(axis, 0.5), image), expected, 0.5 ** len(axes))
    often = draw(Flip(axis, 0.8), image)
    low, high = binom.interval(1 - 1e-6, N, 0.2 ** len(axes))
    assert low <= (often == image.numpy()).all((1, 2, 3)).sum() <= high


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("edge", "edge")])
def test_shifts_are_uniform_with_a_border(fill, mode, dtype):
    image = ONE.to(dtype)
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    expected = [shift_by_hand(image[0].numpy(), *move, mode) for move in moves]
    check_counts(draw(Shift(2, fill), image), expected, 1 / len(moves))


def draw_crops(min_area, num=2000):
    """Draws crops of columns, rows and noise: the first two channels show where each pixel comes from."""
    rows, columns = torch.meshgrid(torch.arange(H).double(), torch.arange(W).double(), indexing="ij")
    noise = torch.rand(H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = torch.stack((columns, rows, noise)).unsqueeze(0)
    return x[0, 2].numpy(), draw(Crop(min_area), x, num)


def test_crops_lie_anywhere_in_the_image():
    _, found = draw_crops(0.3)
    columns, rows = found[:, 0, 0], found[:, 1, :, 0]
    assert np.allclose(found[:, 0], columns[:, None])  # an axis is enlarged apart from the other
    assert np.allclose(found[:, 1], rows[:, :, None])
    sides, starts = [], []
    for places, size in ((columns, W), (rows, H)):
        step = np.diff(places[:, 1:-1], axis=1)  # the outer pixels may be clamped to the border
        assert np.allclose(step, step[:, :1])
        sides.append(step[:, 0])
        starts.append(places[:, 1] + 0.5 - 1.5 * step[:, 0])
        assert starts[-1].min() >= -1e-9
        assert (starts[-1] + size * sides[-1]).max() <= size + 1e-9
    assert np.allclose(sides[0], sides[1])  # the aspect ratio stays
    assert kstest((sides[0] ** 2 - 0.3) / 0.7, "uniform").pvalue > 1e-4
    for start, size in zip(starts, (W, H), strict=True):
        assert kstest(start / (size * (1 - sides[0])), "uniform").pvalue > 1e-4


def test_crops_are_bilinear():
    noise, found = draw_crops(0.5, num=50)
    for columns, rows, values in found:
        left, top = columns.astype(int), rows.astype(int)
        right, bottom = np.minimum(left + 1, W - 1), np.minimum(top + 1, H - 1)
        a, b = columns - left, rows - top
        above = (1 - a) * noise[top, left] + a * noise[top, right]
        below = (1 - a) * noise[bottom, left] + a * noise[bottom, right]
        assert np.allclose(values, (1 - b) * above + b * below)


def test_crops_of_levels_are_rounded():
    levels, values = draw(Crop(0.3), ONE), draw(Crop(0.3), ONE.float())
    assert (levels == np.rint(values)).all()
    assert not (levels == values).all()


@pytest.mark.parametrize("augment", [Flip("both", 0.5), Shift(2, "zero"), Crop(0.5)], ids=str)
def test_images_are_drawn_apart(augment):
    assert len(np.unique(draw(augment, num=50), axis=0)) > 3


def make_chain(*augmentations, shape=(C, H, W), binarize="none", corrupt=None):
    named = {type(each).__name__.lower(): each for each in augmentations}
    return AugmentationChain(named, shape, binarize, corrupt)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_missing_values_move_with_the_image(dtype):
    x = ONE.to(dtype).expand(200, -1, -1, -1)
    is_hidden = torch.rand(1, 1, H, W, generator=torch.Generator().manual_seed(0)) < 0.4
    torch.manual_seed(0)
    found, missing = make_chain(Flip("both", 0.5), Shift(2, "zero"))(x, is_hidden.expand(200, -1, -1, -1))
    assert found.dtype == dtype
    hidden = np.unique(ONE.numpy()[0][:, is_hidden[0, 0].numpy()])
    shown = found.numpy()[~missing.numpy()]
    assert set(np.unique(shown)) == {0, *range(1, C * H * W + 1)} - set(hidden.tolist())  # 0 is the border
    torch.manual_seed(0)
    complete, _ = make_chain(Flip("both", 0.5), Shift(2, "zero"))(x, None)
    assert (missing.numpy() == np.isin(complete.numpy(), hidden)).all()
    assert (shown == complete.numpy()[~missing.numpy()]).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_do_not_show_hidden_values(dtype):
    missing = MissingAtRandom(0.2).draw(300, (C, H, W), torch.Generator().manual_seed(0))
    results = []
    for hidden_value in (0, 200):
        x = ONE.to(dtype).expand(300, -1, -1, -1).masked_fill(missing, hidden_value)
        torch.manual_seed(0)
        found, hidden = make_chain(Crop(0.5))(x, missing)
        results.append((found[~hidden], hidden))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert 0.2 < results[0][1].float().mean() < 0.9


def test_chain_keeps_the_order():
    class Add(Augmentation):
        def __call__(self, x):
            return x + 1

    class Double(Augmentation):
        def __call__(self, x):
            return 2 * x

    assert make_chain(Add(), Double())(ONE, None)[0].flatten()[0] == 4
    assert make_chain(Double(), Add())(ONE, None)[0].flatten()[0] == 3
    assert str(make_chain(Add(), Double())) == "; training images augmented by add, double"
    text = str(make_chain(Flip("both", 0.5), Shift(2, "edge")))
    assert text == "; training images augmented by flip (axis both, probability 0.5), shift (max_shift 2, fill edge)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augmentations": ["flip"]}, r"with a slash, as in dataset/augment=\[flip\]"),
        ({"augmentations": {"flip": BitFlip(0.5)}}, "augment.flip: BitFlip is no Augmentation: derive it from"),
        ({"shape": (64,)}, r"it needs images, .* and shape = \[64\] is none: drop dataset/augment"),
        ({"corrupt": BitFlip(0.5)}, "BitFlip is noise of each pixel, .*: drop dataset/augment, or choose missing"),
        ({"augmentations": {"shift": Shift(5, "zero")}}, "augment.shift: max_shift = 5 must be less than 5"),
        ({"augmentations": {"crop": Crop(0.5)}, "binarize": "fixed"}, "augment.crop: it makes new grey levels"),
    ],
    ids=["list", "class", "vectors", "noise", "shift", "fixed"],
)
def test_data_that_cannot_be_augmented(options, message):
    arguments = {"augmentations": {"flip": Flip("both", 0.5)}, "shape": (C, H, W), "binarize": "none", "corrupt": None}
    with pytest.raises(ValueError, match=message):
        AugmentationChain(**arguments | options)


LEVELS = torch.randint(0, 17, (60, 1, 4, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
FLIP = {"flip": Flip("horizontal", 0.99999)}
INDEX = torch.arange(20)


def load(x=LEVELS, **options):
    return dataset(lambda: RawSplits(*(RawSplit(part) for part in x.split(20))), **options).load()


@pytest.mark.parametrize("binarize", ["none", "threshold", "fixed", "dynamic"])
def test_levels_are_augmented_before_drawing(binarize):
    plain, data = load(binarize=binarize), load(binarize=binarize, augment=FLIP)
    torch.manual_seed(0)
    found = data.train.augmented.batch(INDEX)
    if binarize == "dynamic":
        is_certain = (LEVELS[:20] == 0) | (LEVELS[:20] == 16)
        assert (found.flip(3)[is_certain] == LEVELS[:20][is_certain] / 16).all()
        assert set(found.flatten().tolist()) == {0.0, 1.0}
    else:
        assert torch.equal(found, plain.train.batch(INDEX).flip(3))
    torch.manual_seed(0)
    expected = plain.train.batch(INDEX)
    torch.manual_seed(0)
    assert torch.equal(data.train.batch(INDEX), expected)  # others than the trainer see the images as they are


def test_levels_are_cropped_before_a_threshold():
    data = load(binarize="threshold", augment={"crop": Crop(0.3)})
    torch.manual_seed(0)
    levels = Crop(0.3)(LEVELS[:20])
    torch.manual_seed(0)
    assert torch.equal(data.train.augmented.batch(INDEX), (levels >= 8).float())


def test_levels_are_augmented_before_noise():
    data = load(dequantize=True, augment=FLIP)
    first, second = data.train.augmented.batch(INDEX), data.train.augmented.batch(INDEX)
    assert torch.equal((17 * first).floor(), LEVELS[:20].flip(3).float())
    assert not torch.equal(first, second)
    assert data.train.log_bin_width == load(dequantize=True).train.log_bin_width


def test_units_are_those_of_the_plain_images():
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5
    options = {"num_levels": None, "standardize": "columns"}
    data = load(x, augment=FLIP, **options)
    raw = x[:20].numpy()
    mean, scale = raw.mean(0), raw.std(0)
    assert data.train.augmented.batch(INDEX).numpy() == pytest.approx((raw[..., ::-1] - mean) / scale, abs=1e-5)
    assert torch.equal(data.train.batch(INDEX), load(x, **options).train.batch(INDEX))


def test_evaluation_sets_are_not_augmented():
    data, plain = load(augment=FLIP), load()
    for name in ("valid", "test"):
        split = getattr(data, name)
        assert split.augmented is split
        assert torch.equal(split.batch(INDEX), getattr(plain, name).batch(INDEX))
    assert plain.train.augmented is plain.train
    overfit = data.restrict_to_training(5)
    assert torch.equal(overfit.valid.batch(INDEX[:5]), plain.train.batch(INDEX[:5]))
    assert torch.equal(overfit.train.augmented.batch(INDEX[:5]), plain.train.batch(INDEX[:5]).flip(3))


def test_own_missing_values_move_with_the_image():
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x[x < 0.3] = torch.nan
    data = load(x, num_levels=None, augment=FLIP, corrupt=MissingAtRandom(0.2))
    plain, found = data.train.batch(INDEX), data.train.augmented.batch(INDEX)
    assert torch.equal(found.nan_to_num(-1), plain.flip(3).nan_to_num(-1))
    assert data.dataset.protocol.endswith(
        "; seen through missing at random (probability 0.2), drawn with seed 0; training images augmented by flip "
        "(axis horizontal, probability 0.99999)"
    )
    with pytest.raises(DataError, match="has missing values .* and is standardised: set dataset.standardize=none"):
        load(x, num_levels=None, augment=FLIP, standardize="global")


def test_examples_on_disk_are_augmented():
    memory = load(binarize="dynamic", augment={"crop": Crop(0.5)}).train
    train, *others = (RawSplit(part) for part in LEVELS.split(20))
    splits = RawSplits(RawSplit(OnDisk(train.x)), *others)
    disk = dataset(lambda: splits, binarize="dynamic", augment={"crop": Crop(0.5)}).load().train
    found = []
    for split in (memory, disk):
        torch.manual_seed(0)
        found.append(split.augmented.batch(INDEX))
    assert torch.equal(*found)


@pytest.fixture
def counted(monkeypatch):
    """Numbers of the images of each call of the augmentations."""
    sizes = []
    augment = AugmentationChain.__call__

    def call(self, x, missing):
        sizes.append(len(x))
        return augment(self, x, missing)

    monkeypatch.setattr(AugmentationChain, "__call__", call)
    return sizes


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        (TINY, [500, 500, 257]),
        pytest.param(
            (*TINY, "prior=vampprior_data", "prior.num_components=5", "trainer.micro_batches=2",
             "estimators=[importance_sampling,sample_quality,imputation]", "estimators.imputation.num_examples=5",
             "estimators.imputation.num_draws=2", "estimators.sample_quality.num_samples=100",
             "estimators.imputation.methods.pseudo_gibbs.num_steps=102",
             "estimators.imputation.methods.metropolis_within_gibbs.num_steps=102"),
            [250] * 4 + [129, 128], marks=pytest.mark.slow,
        ),
        pytest.param((*TINY, "dataset/corrupt=missing_block"), [500, 500, 257], marks=pytest.mark.slow),
        pytest.param((*TINY_GAN, "trainer.num_critic_steps=2"), [500] * 4 + [257] * 2, marks=pytest.mark.slow),
        pytest.param(TINY_LABELLED, [500, 100] * 2 + [257, 100], marks=pytest.mark.slow),
        pytest.param(("model=dbn", *TINY_LAYERS), [500, 500, 257] * 3, marks=pytest.mark.slow),
    ],
    ids=["vae", "vampprior", "missing", "gan", "labels", "layers"],
)  # fmt: skip
def test_steps_alone_take_augmented_images(overrides, sizes, counted, tmp_path):
    results = dgm_run.run(dgm_run.compose(*overrides, *ALL, "trainer.compile=false"), tmp_path)
    assert counted == sizes
    assert results["preprocessing"].endswith(
        "; training images augmented by flip (axis horizontal, probability 0.5), shift (max_shift 1, fill zero), "
        "crop (min_area 0.8)"
    )


def run_stopped(overrides, folder, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(Interrupted):
            dgm_run.run(dgm_run.compose(*overrides), folder)
    return dgm_run.run(dgm_run.compose(*overrides, "trainer.resume=auto"), folder)


def load_weights(folder):
    return Checkpoints(folder / "checkpoints").load("last")[0]


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        pytest.param(("trainer.micro_batches=3", "dataset/corrupt=missing_half"), marks=pytest.mark.slow),
        pytest.param(("trainer.compile=true", "dataset.binarize=threshold"), marks=pytest.mark.slow),
    ],
    ids=["eager", "parts", "compiled"],
)
def test_resumed_run_equals_a_whole_one(overrides, tmp_path, monkeypatch):
    overrides = (*TINY, *ALL, "trainer.max_epochs=2", *overrides)
    dgm_run.run(dgm_run.compose(*overrides), tmp_path / "whole")
    run_stopped(overrides, tmp_path / "stopped", monkeypatch)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "stopped")
    expected, found = load_weights(tmp_path / "whole"), load_weights(tmp_path / "stopped")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_two_processes_draw_as_one_does(tmp_path):
    for name, how in (("one", "trainer.micro_batches=2"), ("two", "trainer.devices=2")):
        dgm_run.run(dgm_run.compose(*TINY, *ALL, how), tmp_path / name)
    one, two = (
        [row["value"] for row in metrics(tmp_path / name) if "speed" not in row["name"]] for name in ("one", "two")
    )
    assert one == pytest.approx(two, rel=1e-5)


def test_other_augmentation_is_not_resumed(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, *ALL), tmp_path)
    for other in (ALL[:1], ("dataset/augment=[flip]",), (*ALL, "dataset.augment.shift.fill=edge")):
        overrides = (*TINY, "trainer.max_epochs=2", "trainer.resume=auto", *other)
        with pytest.raises((CheckpointError, ConfigError), match=r"dataset\.augment\."):
            dgm_run.run(dgm_run.compose(*overrides), tmp_path)


@pytest.mark.slow
def test_augmentation_changes_the_training(tmp_path):
    elbos = []
    for name, overrides in (("plain", ()), ("flip", ("dataset/augment=[flip]",))):
        dgm_run.run(dgm_run.compose(*TINY, *overrides), tmp_path / name)
        elbos.append([row["value"] for row in metrics(tmp_path / name) if row["name"] == "valid/elbo"])
    assert elbos[0] != elbos[1]
    assert instantiate(dgm_run.compose(*TINY).dataset).augment is None
