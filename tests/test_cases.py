"""Small inputs of a user's own that once failed, with what is right (tests/cases)."""

from pathlib import Path

import pytest

import dgm_run
from dgm_run.errors import ConfigError, DataError
from tests.support.tiny import SHORT, TINY

CASES = Path(__file__).parent / "cases"
FEW = ("dataset.source.num_valid=50", "dataset.source.num_test=50")
SMALL_VAE = tuple(each for each in TINY if "latent_dim" not in each)


def run(tmp_path, kind, case, *overrides):
    """Results of a run on one case: rows by quantity, and the whole."""
    cfg = dgm_run.compose(f"dataset={kind}", f"dataset.source.path={CASES / case}", *overrides)
    found = dgm_run.run(cfg, tmp_path / "run")
    return {row["quantity"]: row for row in found["estimates"]}, found


def test_a_missing_channel_axis_is_added(tmp_path, capfd):
    run(tmp_path, "arrays", "grey_nhw.npy", "dataset.shape=[1,6,6]", "dataset.num_levels=256",
        "dataset.binarize=dynamic", *FEW, *TINY)  # fmt: skip
    assert "arrays: examples of [6, 6] are read as [1, 6, 6]" in capfd.readouterr().out


LINEAR = ("dataset.shape=[6]", "model=ppca", "model.latent_dim=2", *SHORT, "trainer.max_epochs=100")


@pytest.mark.parametrize(("case", "expected"), [("std_1e-4.npz", 48.632), ("mean_1e4_std_1.npz", -6.638)])
def test_ppca_is_exact_at_any_scale(tmp_path, case, expected):
    rows, _ = run(tmp_path, "arrays", case, *LINEAR)
    assert rows["log_likelihood"]["value"] == pytest.approx(expected, abs=0.01)
    assert rows["ppca"]["value"] == pytest.approx(expected, abs=0.002)


def test_a_vae_stands_the_mean_of_the_data(tmp_path):
    rows, _ = run(tmp_path, "arrays", "mean_1e4_std_1.npz", "dataset.shape=[6]", "likelihood=gaussian", *TINY,
                  "trainer.max_epochs=30", "trainer.batch_size=50", "optimizer.lr=0.01",
                  "estimators.importance_sampling.num_samples=50")  # fmt: skip
    assert rows["log_likelihood"]["value"] == pytest.approx(-6.6, abs=0.7)


def test_nan_is_a_missing_value(tmp_path):
    rows, found = run(tmp_path, "arrays", "nan_holes.npy", "dataset.shape=[36]", "likelihood=gaussian", *FEW, *TINY)
    assert "seen through missing values" in found["preprocessing"]
    assert rows["elbo"]["value"] < rows["log_likelihood"]["value"] < 0


def test_minus_one_is_no_label(tmp_path):
    rows, _ = run(tmp_path, "arrays", "partly_labelled_minus_one.npz", "dataset.shape=[1,6,6]", "dataset.num_levels=2",
                  "dataset.num_classes=3", "model=m2", *FEW, *SMALL_VAE,
                  "estimators.classification.num_samples=2")  # fmt: skip
    assert 0 < rows["error"]["num_examples"] < 50


def test_floats_in_0_1_get_the_whole_way_out(tmp_path):
    case = ("arrays", "float_in_0_1.npy", "dataset.shape=[1,6,6]", *FEW)
    with pytest.raises(ConfigError, match="choose likelihood=gaussian; for grey levels set dataset.num_levels=256"):
        run(tmp_path, *case, *TINY)
    with pytest.raises(DataError, match=r"likelihood=gaussian; for images save np.round\(x \* 255\).astype"):
        run(tmp_path, *case, *TINY, "dataset.num_levels=256", "dataset.binarize=dynamic")
    rows, _ = run(tmp_path, *case, *TINY, "likelihood=gaussian")
    assert rows["elbo"]["value"] < rows["log_likelihood"]["value"]


IMAGES = ("dataset.source.num_valid=5", "dataset.source.num_test=5", "dataset.binarize=dynamic", *TINY)


@pytest.mark.parametrize(
    ("case", "channels", "note"),
    [
        ("transparent_png", 1, "60 files: 60 composed on background 255"),
        ("mac_zip", 3, "30 files: 1 hidden skipped"),
        ("grey16", 1, "31 files: 31 scaled from 16 bits"),
    ],
)
def test_image_folders_are_read_as_they_are(tmp_path, capfd, case, channels, note):
    rows, _ = run(tmp_path, "image_folder", case, f"dataset.shape=[{channels},16,16]", *IMAGES)
    assert note in capfd.readouterr().out
    assert rows["log_likelihood"]["value"] < 0


def load_text(case, *overrides):
    from dgm_run.config.compose import instantiate

    few = ("dataset.source.num_valid=20", "dataset.source.num_test=20")
    cfg = dgm_run.compose("dataset=text_file", f"dataset.source.path={CASES / case}", *few, *overrides)
    return instantiate(cfg.dataset).load()


def test_german_prose_has_256_sentences():
    data = load_text("german_prose.txt")
    assert [len(split) for split in (data.train, data.valid, data.test)] == [216, 20, 20]


def test_what_is_left_out_is_counted():
    data = load_text("cyrillic_prose.txt")
    sizes = sum(len(split) for split in (data.train, data.valid, data.test))
    assert sizes + 1800 == 2200
    assert "text: 2,200 sentences, left out: 1,800 repeated" in data.dataset.notes
    assert "left out: 1,800 repeated" in data.dataset.protocol


def test_words_keep_their_vowel_signs():
    words = load_text("hindi_lines.txt", "dataset.source.units=lines").train.vocabulary.words
    assert "बिल्ली" in words
    assert "देखती" in words


def test_a_byte_order_mark_is_no_word():
    words = load_text("bom_crlf.txt", "dataset.source.units=lines").train.vocabulary.words
    assert not [word for word in words if "\ufeff" in word or "\r" in word]
    assert "cat" in words
