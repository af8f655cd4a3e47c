import yaml
from omegaconf import OmegaConf

import dgm_run
from dgm_run.config.choices import read_choices
from dgm_run.config.leaves import iterate_leaves


def settings_of(*overrides):
    return dict(iterate_leaves(OmegaConf.to_container(dgm_run.compose(*overrides), resolve=False)))


def write_choices(folder, **choices):
    (folder / ".hydra").mkdir()
    node = {"hydra": {"runtime": {"version": "1.3.8", "choices": choices}, "verbose": False}}
    # the form in which Hydra writes its own configuration
    (folder / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(node, indent=2, sort_keys=False))


def test_choices_are_found_by_their_classes(tmp_path):
    found = read_choices(tmp_path, settings_of("model=rbm", "dataset=digits", "dataset/corrupt=salt_and_pepper"))
    assert (found["model"], found["objective"], found["optimizer"]) == ("rbm", "pcd", "sgd")
    assert found["dataset.corrupt"] == "salt_and_pepper"
    assert "prior" not in found
    assert "dataset.source" not in found  # no group has this key


def test_data_sets_of_one_class_state_their_names(tmp_path):
    for name in ("digits", "mnist"):
        assert read_choices(tmp_path, settings_of(f"dataset={name}"))["dataset"] == name
    assert "dataset" not in read_choices(tmp_path, settings_of("dataset=digits", "dataset.name=mine"))


def test_choices_of_one_class_need_hydras_file(tmp_path):
    settings = settings_of("objective=annealed_elbo")
    assert "objective" not in read_choices(tmp_path, settings)  # elbo has the same class
    write_choices(tmp_path, objective="annealed_elbo", model="vae")
    assert read_choices(tmp_path, settings)["objective"] == "annealed_elbo"


def test_a_class_set_by_hand_is_no_choice(tmp_path):
    settings = settings_of("prior=standard") | {"prior._target_": "mine.Prior"}
    write_choices(tmp_path, prior="standard", decoder="my_decoder")
    found = read_choices(tmp_path, settings)
    assert "prior" not in found
    assert found["decoder"] == "my_decoder"  # of a folder of one's own


def test_a_group_may_have_another_place(tmp_path):
    write_choices(tmp_path, **{"objective@trainer.pretraining.objective": "cd", "dataset/corrupt": "missing_half"})
    settings = {"trainer.pretraining.objective._target_": "x.CD", "dataset.corrupt._target_": "x.Missing"}
    found = read_choices(tmp_path, settings)
    assert found["trainer.pretraining.objective"] == "cd"


def test_a_damaged_file_gives_no_choices(tmp_path):
    (tmp_path / ".hydra").mkdir()
    for text in ("", "    choices:\n      a: [\n", "    choices:\n      - a\n", "\x00"):
        (tmp_path / ".hydra" / "hydra.yaml").write_text(text)
        assert read_choices(tmp_path, {"prior._target_": "mine.Prior"}) == {}
