"""Presets of few labels on MNIST, trained until they are as good as they are said to be: an hour and more."""

import os
from pathlib import Path

import pytest

import dgm_run

DATA = Path(os.environ.get("DGM_DATA_DIR", "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="needs MNIST"),
]


@pytest.mark.parametrize(("preset", "epochs", "most"), [("mnist_m2_100", 66, 15.0), ("mnist_m1_m2_100", 500, 5.0)])
def test_a_hundred_labels_are_enough(preset, epochs, most, tmp_path):
    overrides = (f"trainer.max_epochs={epochs}", "estimators.classification.num_samples=10")
    found = dgm_run.run(dgm_run.compose(f"+experiment=kingma_2014/{preset}", *overrides), tmp_path)
    rows = {(row["quantity"], row["estimator"]): row["value"] for row in found["estimates"]}
    assert rows["error", "q(y|x)"] < most
    assert rows["error", "q(y|x)"] < rows["error_svm", "baseline"] - 5
