"""Error rates of label prediction: digits in a few seconds, MNIST by its presets in an hour and more."""

import os
from pathlib import Path

import pytest

import dgm_run

DATA = Path(os.environ.get("DGM_DATA_DIR", "data"))


def errors(found):
    return {(row["quantity"], row["estimator"]): row["value"] for row in found["estimates"]}


@pytest.mark.slow
def test_on_digits_examples_without_labels_teach_something(tmp_path):
    overrides = ("model=m2", "dataset.num_labels=100", "trainer.max_epochs=20", "trainer.threads=1")
    found = errors(dgm_run.run(dgm_run.compose(*overrides, "estimators=[classification]"), tmp_path))
    assert found["error", "q(y|x)"] < 20  # 17.0 with a standard deviation of 1.1 over three draws of the labels
    for machine in ("nearest_neighbour", "logistic_regression"):
        assert found["error", "q(y|x)"] < found[f"error_{machine}", "baseline"] - 3


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="needs MNIST")
def test_a_hundred_labels_are_enough(tmp_path):
    epochs = ("trainer.max_epochs=20", "trainer.pretraining.max_epochs=30")  # 11% of validation data are wrong then
    overrides = (*epochs, "estimators=[classification]", "estimators.classification.num_samples=10")
    found = dgm_run.run(dgm_run.compose("+experiment=kingma_2014/mnist_m1_m2_100", *overrides), tmp_path)
    rows = errors(found)
    assert rows["error", "q(y|x)"] < 15
    assert rows["error", "q(y|x)"] < rows["error_svm", "baseline"] - 5
