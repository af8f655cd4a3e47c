import pytest

import dgm_run
from dgm_run.errors import DataError, TrainingError
from tests.support.tiny import TINY, TINY_ENERGY, TINY_EXACT, TINY_LABELLED, metrics

SMALL = [each for each in TINY if not each.startswith(("estimators", "trainer.max_epochs"))]


@pytest.fixture
def overfit(tmp_path):
    """Runs the check with more overrides, and returns its log."""

    def run(*overrides, base=SMALL):
        found = dgm_run.run(dgm_run.compose(*base, "trainer.batch_size=50", "+debug=overfit", *overrides), tmp_path)
        assert found["estimates"] == []
        return (tmp_path / "run.log").read_text()

    return run


def test_a_model_that_learns_passes(overfit, tmp_path):
    log = overfit("optimizer.lr=1e-2", "trainer.max_epochs=60")
    values = {line["step"]: line["value"] for line in metrics(tmp_path) if line["name"] == "valid/elbo"}
    assert list(values) == [0, 50, 60]
    best = max(values.values())
    assert best > values[0] + 10
    assert f"valid/elbo of 50 examples: {values[0]:.2f} at first, at best {best:.2f}, in 60 steps" in log


def test_one_exact_step_is_learning(overfit):
    base = [each for each in TINY_EXACT if not each.startswith("trainer.max_epochs")]
    assert "overfit: valid/log_likelihood of 50 examples: " in overfit("trainer.max_epochs=1", base=base)


def test_a_model_that_learns_nothing_fails(overfit):
    with pytest.raises(TrainingError, match=r"overfit: valid/elbo of 50 examples: .* the model does not learn them"):
        overfit("optimizer.lr=1e-12", "trainer.max_epochs=5")


def test_an_energy_model_is_checked_too(overfit):
    base = [each for each in TINY_ENERGY if not each.startswith("trainer.max_epochs")]
    log = overfit("trainer.max_epochs=60", "optimizer.lr=0.2", base=base)
    assert "overfit: valid/log_likelihood of 50 examples: " in log


def test_examples_without_labels_are_refused(overfit):
    base = [each for each in TINY_LABELLED if not each.startswith(("estimators", "trainer.max_epochs"))]
    with pytest.raises(DataError, match=r"trainer.overfit_examples = 2: none of them has a label: raise it"):
        overfit("trainer.overfit_examples=2", "dataset.num_labels=10", base=base)


@pytest.mark.parametrize("model", ["dbn", "dbm"])
def test_layers_are_evaluated_a_few_times(model, overfit, tmp_path):
    """The estimate of log Z takes most of the time."""
    small = ("model.num_hidden=[50,50]", "trainer.device=cpu", "trainer.threads=1")
    log = overfit(base=(f"model={model}", *small))
    evaluations = [line for line in metrics(tmp_path) if line["name"].endswith("valid/log_likelihood")]
    assert log.count("overfit: valid/log_likelihood of 50 examples: ") == 3
    assert len(evaluations) == 3 + 3 + 5
