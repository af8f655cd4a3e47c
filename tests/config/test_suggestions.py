from dgm_run.cli.hydra_errors import compose_arguments, list_choices
from dgm_run.config.schema import GROUPS
from dgm_run.config.suggestions import CHOICE_SYNONYMS, SYNONYMS, list_settable_keys, suggest_keys, suggest_names


def test_every_synonym_is_a_name_that_exists():
    known = {"experiment", "hydra.run.dir", *GROUPS, "seed", "data_dir"}
    for group in GROUPS:
        for choice in list_choices(group):
            chosen = f"{group}=[{choice}]" if group == "estimators" else f"{group}={choice}"
            if group in ("model", "objective", "trainer", "optimizer", "prior", "encoder"):
                known |= {key.rpartition(".")[2] for key in list_settable_keys(_plain(compose_arguments([chosen])))}
    assert {name for names in SYNONYMS.values() for name in names} <= known
    choices = {choice for group in GROUPS for choice in list_choices(group)}
    assert {name for names in CHOICE_SYNONYMS.values() for name in names} <= choices


def _plain(cfg):
    from omegaconf import OmegaConf

    return OmegaConf.to_container(cfg, resolve=False)


def test_no_name_is_suggested_for_one_that_resembles_none():
    assert suggest_names("qqqq", ["standard", "mixture"]) == []
    assert suggest_keys("qqqq", ["trainer.max_epochs"], ["model"]) == []
