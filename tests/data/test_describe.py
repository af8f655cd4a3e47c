import pytest
import torch

from dgm_run.data.describe import advise_standardizing, describe_constant, describe_missing, refuse_rounding
from dgm_run.errors import DataError

NAN = torch.nan


def test_missing_values_are_counted_by_split():
    values = {"train": torch.tensor([[1.0, NAN], [NAN, NAN]]), "test": torch.ones(2, 2)}
    (note,) = describe_missing(values, "toy")
    assert "3 of 4 in train, 0 of 4 in test" in note
    assert describe_missing({"test": torch.ones(2, 2)}, "toy") == []


def test_constant_columns_are_named():
    x = torch.tensor([[1.0, 2.0, NAN, NAN], [1.0, 3.0, NAN, 5.0]])
    assert describe_constant(x, "toy") == ["toy: 3 of 4 columns never change in training: 0, 2, 3"]
    assert describe_constant(x[:, 1:2], "toy") == []
    assert describe_constant(torch.ones(2, 50), "toy")[0].endswith("9, ...")


def test_scales_far_apart_are_advised_on():
    x = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert advise_standardizing(x, "toy") == []
    for odd in (x * torch.tensor([1.0, 1e4]), x + 1e4, torch.stack([x[:, 0], 1e8 + x[:, 1]], 1)):
        assert "dataset.standardize=columns" in advise_standardizing(odd, "toy")[0]
    assert advise_standardizing(torch.ones(5, 2), "toy") == []


def test_values_that_would_be_rounded_are_refused(double):
    x = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    far = x + torch.tensor([0.0, 1e8])
    refuse_rounding(far, "toy")  # the run has double precision
    torch.set_default_dtype(torch.float32)
    refuse_rounding(x + 1e4, "toy")
    refuse_rounding(far.float(), "toy")  # the file itself has no more
    with pytest.raises(DataError, match=r"column 1 of toy \(mean 1e\+08, .* or trainer.precision=fp64"):
        refuse_rounding(far, "toy")
