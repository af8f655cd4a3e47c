import yaml

from dgm_run.config.compose import as_dict, compose
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.hydra_errors import list_choices
from dgm_run.config.schema import GROUPS
from dgm_run.config.suggestions import CHOICE_SYNONYMS, SYNONYMS, list_settable_keys, suggest_keys, suggest_names


def test_every_synonym_is_a_name_that_exists():
    keys = [*list_settable_keys(as_dict(compose(), resolve=False))]
    for group in GROUPS:
        for choice in list_choices(group):
            keys += list_settable_keys(yaml.safe_load((conf_dir() / group / f"{choice}.yaml").read_text()))
    known = {"experiment", "hydra.run.dir", "data_dir", *GROUPS, *(key.rpartition(".")[2] for key in keys)}
    assert {name for names in SYNONYMS.values() for name in names} <= known
    choices = {choice for group in GROUPS for choice in list_choices(group)}
    assert {name for names in CHOICE_SYNONYMS.values() for name in names} <= choices


def test_no_name_is_suggested_for_one_that_resembles_none():
    assert suggest_names("qqqq", ["standard", "mixture"]) == []
    assert suggest_keys("qqqq", ["trainer.max_epochs"], ["model"]) == []
