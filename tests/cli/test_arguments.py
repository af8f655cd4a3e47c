import re

import pytest
import yaml

from dgm_run.cli.arguments import check_arguments, defer_values
from dgm_run.errors import ConfigError
from tests.support.tiny import run_here, run_refused

OPTIONS = {
    ("--shell-completion",): "--shell-completion: write --shell-completion install=bash, or install=zsh, install=fish",
    ("--shell-completion", "install"): "--shell-completion: write --shell-completion install=bash",
    ("-m", "seed=1,2", "--cfg", "job"): "--multirun and --cfg exclude each other: sweep.dry_run=true shows the jobs",
    ("--cfg", "job", "--info"): "--cfg and --info exclude each other",
    ("--resolve",): "--resolve: it needs --cfg job",
    ("--package", "nowhere"): "--package: there is no package nowhere: give its name, its folder or its .py file",
    ("--cfg", "nope"): "argument --cfg/-c: invalid choice: 'nope'",
    ("--cfg",): "argument --cfg/-c: expected one argument",
    ("--config-name",): "--config-name: name a folder of your own YAML files by --config-dir DIR",
    ("--nope",): "no option --nope: dgm-run --hydra-help lists the options",
    ("--experimental-rerun", "x"): "--experimental-rerun: to resume a run, write trainer.resume=RUN_DIR",
}
OVERRIDES = {
    "=3": "=3: there is no key before =",
    "model.latent_dim": "model.latent_dim: write model.latent_dim=VALUE",
    "encoder.hidden_dims=[8": "encoder.hidden_dims=[8: [ and ] do not match",
    "encoder.hidden_dims=8]": "encoder.hidden_dims=8]: [ and ] do not match",
    "dataset={a:1": "dataset={a:1: { and } do not match",
    "seed=range(": "seed=range(: ( and ) do not match",
    'data_dir="x': 'data_dir="x: a quotation mark " is not closed',
    "data_dir='x": "data_dir='x: a quotation mark ' is not closed",
    "data_dir=a=b:[": "data_dir=a=b:[: [ and ] do not match",
    "prior=": "prior=: the value must be the name of a choice: autoregressive, mixture",
    "prior=3": "prior=3: the value must be the name of a choice: autoregressive, mixture",
    "prior=[mixture]": "prior=[mixture]: this group takes one choice, not a list",
    "prior=[mixture,standard]": "prior=[mixture,standard]: this group takes one choice, not a list: to run one after "
    "the other, write -m prior=mixture,standard",
    "prior=null": "prior=null: to go without, write '~prior'",
    "estimators=null": "estimators=null: to go without, write 'estimators=[]'",
    "dataset/augment=null": "dataset/augment=null: to go without, write 'dataset/augment=[]'",
    "estimators=[1]": "estimators=[1]: the value must be the name of a choice: ais_decoder",
    "estimators={a:1}": "estimators={a:1}: the value must be the name of a choice: ais_decoder",
    "hydra.run.dir=": "hydra.run.dir=: no folder is given: write hydra.run.dir=FOLDER, or leave it out",
    "hydra.sweep.dir=": "hydra.sweep.dir=: no folder is given: write hydra.sweep.dir=FOLDER, or leave it out",
    "seed=range(1,3,0)": "seed=range(1,3,0): the step of range() must not be 0",
    "seed=range(3,3)": "seed=range(3,3): nothing to sweep over: the range or the glob is empty",
    "prior=glob(nope*)": "prior=glob(nope*): nothing to sweep over: the range or the glob is empty",
}
FINE = (
    *("seed=1", "+experiment=iwae_2016/mnist_iwae_k5", "~prior", "estimators=[]", "estimators=[exact,imputation]"),
    *(
        "dataset/corrupt=null",
        "dataset/augment=[flip,shift]",
        "data_dir='a b'",
        "encoder.hidden_dims=[${model.latent_dim}]",
        "prior=glob(vamp*)",
    ),
    *(
        "seed=range(3)",
        "optimizer.lr=interval(0.1,1)",
        "trainer.resume=null",
        "dataset/corrupt@dataset.corrupt=bit_flip",
    ),
)


@pytest.mark.parametrize("arguments", OPTIONS, ids=" ".join)
def test_options_that_do_not_fit_are_refused(arguments, tmp_path, monkeypatch, capfd):
    done = run_refused(arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(OPTIONS[arguments])
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("override", OVERRIDES)
@pytest.mark.parametrize("more", [[], ["-m"]], ids=["", "-m"])
def test_an_override_that_cannot_be_read_is_refused(override, more, tmp_path, monkeypatch, capfd):
    done = run_refused([*more, override], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(OVERRIDES[override])
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("override", FINE)
def test_overrides_of_every_form_are_read(override):
    assert check_arguments(["-m", override]) is None


@pytest.mark.parametrize("arguments", [["--shell-completion", "install=bash"], ["-c", "job", "--resolve"], ["--info"]])
def test_options_that_fit_are_taken(arguments):
    assert check_arguments(arguments) is None


def test_option_without_value_names_it():
    with pytest.raises(ConfigError, match="--config-dir/-cd: expected one argument"):
        check_arguments(["--config-dir"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-m", "seed=range(1,1000000000)"], "the sweep has 999,999,999 jobs, more than 100,000"),
        (["-m", "seed=range(1000)", "prior.num_components=range(1000)"], "1,000,000 jobs"),
        ([""], "an argument is empty"),
        (["model=null"], "model=null: choose one of autoregressive, "),
        (["prior=null"], "prior=null: to go without, write '~prior'"),
        (["trainer.resume="], "trainer.resume=: no folder is given"),
    ],
)
def test_senseless_arguments_are_refused(arguments, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_arguments(arguments)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["seed=0,1", "trainer.max_epochs=3"], ["seed=0,1", "trainer.max_epochs=3"]),  # no part is swept over
        (["prior=a,b", "prior.k=3"], ["prior=a,b", "prior.k=choice(3)"]),
        (["+experiment=a,b", "x.y='a b'", "x.z=[1,2]"], ["+experiment=a,b", "x.y=choice('a b')", "x.z=choice([1,2])"]),
        (["prior=a,b", "hydra.run.dir=x", "seed=1", "+a.b=1", "~a.c", "prior.k=1,2"], None),
        (["prior=a,b", "prior.k=3", "hydra/sweeper=optuna"], None),
        (["prior=a,b", "prior.k=null", "prior.l=", "prior.m=${x}"], None),  # choice() would change them
    ],
)
def test_swept_parts_read_their_keys_late(overrides, expected):
    assert defer_values(overrides) == (expected or overrides)


def test_sweeps_take_keys_of_swept_parts(tmp_path, monkeypatch, capfd):
    """`linear_baseline` comes with the two models, and not with the default one."""
    overrides = ["-m", "model=ppca,factor_analysis", "estimators.linear_baseline.max_steps=3", "trainer.max_epochs=1"]
    data = ["dataset.binarize=none", "dataset.dequantize=true", f"hydra.sweep.dir={tmp_path / 'both'}"]
    done = run_here("main", [*overrides, *data], tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    for job in "01":
        config = yaml.safe_load((tmp_path / "both" / job / ".hydra" / "config.yaml").read_text())
        assert config["estimators"]["linear_baseline"]["max_steps"] == 3
        assert (
            "estimators.linear_baseline.max_steps=3"
            in (tmp_path / "both" / job / ".hydra" / "overrides.yaml").read_text()
        )
