import pytest

from dgm_run.cli.completion import complete_word, is_query
from tests.support.tiny import run_here

PRESETS = ["iwae_2016/mnist_vae_k1", "iwae_2016/static_vae_k1", "yell/mnist_dbm"]


@pytest.mark.parametrize(
    ("word", "completed"),
    [
        ("+experiment=", ["+experiment=iwae_2016/", "+experiment=yell/"]),
        ("+experiment=iw", ["+experiment=iwae_2016/"]),
        ("+experiment=iwae_2016/", ["+experiment=iwae_2016/mnist_vae_k1", "+experiment=iwae_2016/static_vae_k1"]),
        ("+experiment=iwae_2016/s", ["+experiment=iwae_2016/static_vae_k1"]),
        ("+experiment=nope", []),
    ],
)
def test_presets_complete_paper_by_paper(word, completed):
    assert complete_word(word, ["nothing"], PRESETS) == completed


@pytest.mark.parametrize(
    ("word", "offers", "completed"),
    [
        ("+", ["+experiment/", "+model="], ["+experiment=", "+model="]),
        ("+exp", ["+experiment/"], ["+experiment="]),
        ("objective/", ["objective/common="], []),
        ("", ["experiment/", "model=", "seed="], ["model=", "seed="]),
        ("dataset/", ["dataset/corrupt=", "dataset/augment="], ["dataset/augment=", "dataset/corrupt="]),
    ],
)
def test_internal_folders_are_not_offered(word, offers, completed):
    assert complete_word(word, offers, PRESETS) == completed


def test_queries_are_distinguished_from_installation():
    assert is_query(["dgm-run", "--shell-completion", "query=bash"])
    assert is_query(["dgm-run", "-sc", "query=fish"])
    assert not is_query(["dgm-run", "--shell-completion", "install=bash"])
    assert not is_query(["dgm-run", "query=1"])


@pytest.mark.parametrize(("shell", "separator"), [("bash", " "), ("zsh", " "), ("fish", "\n")])
def test_shells_get_hydra_choices(shell, separator, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("COMP_LINE", "dgm-run prior=vamp")
    done = run_here("main", ["-sc", f"query={shell}"], tmp_path, monkeypatch, capfd)
    assert done == (0, f"prior=vampprior{separator}prior=vampprior_data\n", "")


def test_shells_get_presets(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("COMP_LINE", "dgm-run seed=1 +experiment=yell/")
    done = run_here("main", ["-sc", "query=bash"], tmp_path, monkeypatch, capfd)
    assert done == (0, "+experiment=yell/mnist_dbm\n", "")
