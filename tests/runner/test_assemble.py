"""Parts that are too large, and parts that start from training examples."""

import pytest
from sklearn.datasets import load_digits

import dgm_run as package
from dgm_run.errors import ConfigError, OutOfMemory
from dgm_run.runner.assemble import check_config
from tests.support.tiny import TINY


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.latent_dim=100000000000000000", "the model is too large: lower model.latent_dim"),
        ("dataset.source.num_train=100000000000000000", "the data set is too large: use fewer examples"),
    ],
)
def test_what_no_memory_can_hold_is_refused(override, message, tmp_path):
    data = ("dataset=gaussian_mixture", "likelihood=gaussian") if "dataset" in override else ()
    with pytest.raises(OutOfMemory, match=message):
        package.run(package.compose(*TINY, *data, override), tmp_path)


def test_initialize_gets_training_examples(tmp_path):
    package.run(package.compose(*TINY, "prior=vampprior_data", "dataset.binarize=threshold"), tmp_path)
    images = package.load(tmp_path).model.prior.pseudo_inputs.flatten(1).bool().numpy()
    digits = (load_digits().images.reshape(-1, 64) >= 8).astype(bool)
    known = {row.tobytes() for row in digits}
    assert all(image.tobytes() in known for image in images)


@pytest.mark.parametrize(("group", "kind"), [("logger", "Logger"), ("callbacks", "Callback")])
def test_parts_of_another_kind_are_refused(group, kind):
    override = f"+{group}.mine._target_=dgm_run.objectives.log_likelihood.LogLikelihood"
    with pytest.raises(ConfigError, match=rf"{group}.mine: LogLikelihood is no {kind}: derive it from dgm_run\.\w+"):
        check_config(package.compose(*TINY, override))
