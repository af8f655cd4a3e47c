import importlib.util

import pytest

from dgm_run.cli import search
from dgm_run.cli.search import check_installation
from dgm_run.errors import ConfigError
from tests.support.tiny import TINY, run_here, run_refused

SEARCH = ["-m", "hydra/sweeper=optuna", "hydra.sweep.dir=sweep"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=1"], "the search has no key to choose: write KEY=choice(A,B)"),
        (["seed=1,2", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: write a whole number from 1 on"),
        (
            ["seed=1,2", "hydra.sweeper.objectives.best=up"],
            "hydra.sweeper.objectives.best=up: write maximize or minimize",
        ),
        (["seed=1,2", "hydra.sweeper.storage=nope"], "hydra.sweeper.storage=nope: cannot be opened"),
        (["prior=choice(standard,nope)"], "prior=nope: there is no such choice"),
        (["optimizer.lrr=interval(0,1)"], "optimizer.lrr: there is no such key: did you mean optimizer.lr?"),
        (["seed=1,2", "hydra/sweeper/sampler=nope"], "hydra/sweeper/sampler=nope: there is no such choice"),
        (
            ["seed=1,2", "hydra/sweeper/pruner=median", "+hydra.sweeper.objectives.seconds=minimize"],
            "hydra/sweeper/pruner: a pruner compares best validation values: keep the objectives {best: maximize}",
        ),
    ],
)
def test_search_that_cannot_begin_is_refused(arguments, message, tmp_path, monkeypatch, capfd):
    done = run_refused([*SEARCH, *TINY, *arguments], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_example_without_m_is_refused(tmp_path, monkeypatch, capfd):
    done = run_refused(["+hparams_search=vae"], tmp_path, monkeypatch, capfd)
    assert done == (1, "hparams_search: a search has many runs: add -m\n")


@pytest.mark.parametrize("arguments", [["-m", "+hparams_search=vae"], [*SEARCH, "seed=interval(0,1)"]])
def test_search_has_no_list_of_jobs(arguments, tmp_path, monkeypatch, capfd):
    done = run_here("main", [*arguments, "sweep.dry_run=true"], tmp_path, monkeypatch, capfd)
    assert done.stdout == "OptunaSweeper chooses each job by earlier results: there is no list of jobs\n"
    assert done.returncode == 0


def test_search_may_have_many_choices(tmp_path, monkeypatch, capfd):
    arguments = ["seed=range(1000)", "model.latent_dim=range(1,1001)", "sweep.dry_run=true"]
    assert run_here("main", [*SEARCH, *arguments], tmp_path, monkeypatch, capfd).returncode == 0


@pytest.mark.parametrize("argument", ["hydra/sweeper=optuna", "+hparams_search=vae"])
@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ((), "a search needs Optuna: pip install 'dgm-run[optuna]'"),
        (("optuna", "hydra_plugins.hydra_optuna_sweeper"), "pip uninstall hydra-optuna-sweeper"),
    ],
)
def test_wrong_installation_is_refused(argument, installed, message, monkeypatch):
    monkeypatch.setattr(search, "find_spec", lambda name: True if name in installed else None)
    with pytest.raises(ConfigError) as refusal:
        check_installation(["-m", argument])
    assert message in str(refusal.value)
    check_installation(["-m", "seed=1,2"])
    check_installation([argument])


def test_sweeper_lies_where_hydra_looks_for_it():
    from hydra_plugins.dgm_run_search import OptunaSweeper

    assert issubclass(OptunaSweeper, search.OptunaSweeper)
    assert importlib.util.find_spec("hydra_plugins.dgm_run_search")
