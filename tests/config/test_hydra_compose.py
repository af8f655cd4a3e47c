import pytest
from hydra.errors import MissingConfigException

from dgm_run.config.hydra_compose import annotate_published, compose_with_hydra, conf_dir


def test_configuration_folder_holds_root():
    assert (conf_dir() / "config.yaml").is_file()


def test_exceptions_of_hydra_pass():
    with pytest.raises(MissingConfigException):
        compose_with_hydra(["model=vea"])


def test_changes_of_a_preset_stand_beside_its_numbers():
    cfg = compose_with_hydra(["+experiment=kingma_2014/mnist_m1_m2_100"])
    source = cfg.published.source
    annotate_published(cfg, ["seed=3", "optimizer.lr=1"])
    assert cfg.published.source == f"{source}; changed: optimizer.lr=1"
    annotate_published(cfg, ["dataset.num_labels=50"])
    assert cfg.published is None
