"""Examples from elsewhere are prepared as the test examples are."""

import numpy as np
import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.data.examples import prepare_examples
from dgm_run.data.preprocessing import UNCHANGED, Preprocessing
from dgm_run.data.standardize import Standardization
from dgm_run.errors import DataError


def make(*overrides):
    return instantiate(compose(*overrides).dataset)


@pytest.mark.parametrize(
    "overrides",
    [
        ("dataset.binarize=threshold",),
        ("dataset.binarize=none", "likelihood=discretized_logistic"),
        ("dataset.binarize=none", "dataset.dequantize=true", "likelihood=gaussian"),
    ],
)
def test_levels_become_what_the_test_examples_are(overrides):
    dataset = make(*overrides)
    raw = dataset._source().test.x
    expected = dataset.load().test
    found = prepare_examples(make(*overrides), raw, UNCHANGED)
    assert found.log_bin_width == expected.log_bin_width
    if "dequantize" not in str(overrides):
        assert torch.equal(found.batch(slice(None)), expected.batch(slice(None)))
    else:  # the noise of the test examples follows that of the validation examples
        noise = found.batch(slice(None)) * dataset.num_levels - raw
        assert noise.min() >= 0
        assert noise.max() <= 1
        assert noise.mean().item() == pytest.approx(0.5, abs=0.01)


def test_dynamic_bits_have_the_intensity_as_mean():
    dataset = make()
    raw = torch.full((4000, 1, 8, 8), 4, dtype=torch.uint8)
    raw[0] = 16  # a white image shows that these are levels
    bits = prepare_examples(dataset, raw, UNCHANGED).batch(slice(1, None))
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert bits.mean().item() == pytest.approx(0.25, abs=0.005)


def test_missing_values_stay_missing():
    dataset = make("dataset.binarize=none", "dataset.dequantize=true", "likelihood=gaussian")
    x = np.full((2, 1, 8, 8), 0.5)
    x[0, 0, 3, 4] = np.nan
    found = prepare_examples(dataset, torch.from_numpy(x), UNCHANGED)
    assert found.batch(slice(None)).isnan().nonzero().tolist() == [[0, 0, 3, 4]]
    assert found.num_observed.tolist() == [63, 64]


@pytest.mark.parametrize("x", [torch.tensor(3.0), torch.zeros(0, 1, 8, 8), torch.full((1, 1, 8, 8), 1.5)])
def test_what_is_no_example_is_refused(x):
    with pytest.raises(DataError):
        prepare_examples(make(), x, UNCHANGED)


def test_the_data_set_keeps_its_preprocessing():
    dataset = make()
    units = Preprocessing(Standardization(torch.zeros(1, 8, 8), torch.ones(1, 8, 8)))
    before = dataset.preprocessing
    prepare_examples(dataset, torch.full((2, 1, 8, 8), 16, dtype=torch.uint8), units)
    assert dataset.preprocessing is before
