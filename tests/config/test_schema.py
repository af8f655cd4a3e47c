from dataclasses import fields

import yaml

from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.schema import GROUPS, MACHINE_KEYS, PRESET_NEUTRAL_KEYS, RESUMABLE_KEYS, Config


def test_each_group_is_a_key_and_a_folder():
    assert set(GROUPS) <= {field.name for field in fields(Config)}
    assert all((conf_dir() / group).is_dir() for group in GROUPS)


def test_machine_keys_may_change_on_resume():
    assert set(MACHINE_KEYS) <= set(RESUMABLE_KEYS) & set(PRESET_NEUTRAL_KEYS)


def test_trainer_keys_exist_in_the_yaml():
    trainer = yaml.safe_load((conf_dir() / "trainer" / "gradient.yaml").read_text())
    names = [key.partition(".")[2] for key in RESUMABLE_KEYS if key.startswith("trainer.")]
    assert set(names) <= set(trainer)
