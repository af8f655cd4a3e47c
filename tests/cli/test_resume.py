"""Runs and sweeps resume by the commands that they print, with parts of one's own and from any folder."""

import itertools
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

import dgm_run
from dgm_run.cli.resume import add_run, add_sweep, find_config_dir, fix_data_paths
from dgm_run.config.commands import join_for_shell
from dgm_run.config.overrides import write_override
from dgm_run.config.own_code import OwnCode
from dgm_run.config.start import Start, read_start, write_start
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.runner.run_folder import config_hash, load_config
from tests.support.readme import own_prior, write_own_prior
from tests.support.tiny import NAMES, TINY, run_here, stop_after

FUNCTIONS = {"dgm-run": "main", "dgm-eval": "evaluate", "dgm-sample": "sample", "dgm-report": "report"}


def forget() -> None:
    """Own code is read anew, as in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def forgotten():
    yield
    forget()


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


@pytest.fixture
def type_here(monkeypatch, capfd):
    """Runs a line of bash, which is one of the commands, in this process and a folder."""

    def run(line: str, cwd: Path):
        forget()
        program, *arguments = shlex.split(line)
        with monkeypatch.context() as patch:  # Python's search path is that of a new process
            return run_here(FUNCTIONS[program], arguments, cwd, patch, capfd)

    return run


def project(folder: Path, conf: str = "conf") -> Path:
    """A folder with the prior of docs/own_parts.md and its YAML."""
    write_own_prior(folder, conf)
    return folder


def text_after(text: str, before: str) -> str:
    (line,) = (line for line in text.splitlines() if before in line)
    return line.partition(before)[2]


def results(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


# own parts


@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])])
def test_an_interrupted_run_goes_on_by_its_command(name, tmp_path, elsewhere, type_here):
    project(tmp_path / f"project {name}", name)
    run = tmp_path / f"project {name}" / "runs" / name
    begun = join_for_shell("dgm-run", "prior=mine", *TINY, write_override("hydra.run.dir", run), f"--config-dir={name}")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(1, patch)
        done = type_here(begun, run.parents[1])
    assert done.returncode == 130
    assert not (run / "results.json").exists()
    done = type_here(text_after(done.stderr, "to resume: "), elsewhere)
    assert done.returncode == 0, done.stderr
    assert results(run)["training"]["stopped_by"] == "max_epochs"
    assert shlex.split(text_after(done.stdout, "to view them: ")) == ["tensorboard", "--logdir", str(run.parent)]
    assert not list(elsewhere.iterdir())


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """A finished run with that prior, in its project."""
    folder = project(tmp_path_factory.mktemp("own"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        overrides = ("prior=mine", "prior.scale=2", *TINY, f"data_dir={folder / 'data'}")
        cfg = dgm_run.compose(*overrides, config_dir=folder / "conf")
        start = {"overrides": overrides, "own": {"config_dir": str(folder / "conf"),
                                                 "packages": [str(folder / "mine.py")]}}  # fmt: skip
        dgm_run.run(cfg, folder / "run", start=start)
    forget()
    return folder


@pytest.fixture
def copy(own, tmp_path) -> Path:
    shutil.copytree(own, tmp_path / "copy")
    return tmp_path / "copy"


OPTIONS = "--config-dir {0}/conf --package {0}/mine.py"
SAME = {
    "dgm-eval {run}": "dgm-eval {options} {run}",
    "dgm-eval {run} estimators.importance_sampling.num_samples=3": (
        "dgm-eval {options} {run} estimators.importance_sampling.num_samples=3"
    ),
    "dgm-sample {run} n=4": "dgm-sample {options} {run} n=4",
    "dgm-run trainer.resume={run} trainer.max_epochs=2": (
        "dgm-run {options} trainer.max_epochs=2 trainer.resume={run}"
    ),
}


@pytest.mark.parametrize(("typed", "complete"), SAME.items())
def test_missing_own_code_is_named(typed, complete, own, copy, elsewhere, type_here):
    run = copy / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    options = OPTIONS.format(own)  # the folder remembers where its code was
    for given in ("", f" --config-dir {copy}/conf"):
        done = type_here(typed.format(run=run) + given, elsewhere)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        said = text_after(done.stderr, f"{run} needs code outside dgm_run: if you trust it, run ")
        wanted = options.replace(f"{own}/conf", f"{copy}/conf") if given else options
        assert said == complete.format(options=wanted, run=run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert "mine" not in sys.modules
    done = type_here(said, elsewhere)
    assert done.returncode == 0, done.stderr


TARGETS = ("os.mkdir", "dgm_run.recording.log.Path", "torch.save", "mine.Popen")
COMMANDS = ("dgm-eval {run}", "dgm-sample {run}", "dgm-run trainer.resume={run}")


@pytest.mark.parametrize(
    ("command", "target"),
    [
        pytest.param(COMMANDS[i], target, marks=() if i == j % len(COMMANDS) else pytest.mark.slow)
        for (j, target), i in itertools.product(enumerate(TARGETS), range(len(COMMANDS)))
    ],
)
def test_foreign_code_is_not_built(command, target, copy, elsewhere, type_here):
    run = copy / "run"
    start = read_start(run)
    evil = (f"dataset.source._target_={target}", f"+dataset.source.path={elsewhere}/victim")
    write_start(run, Start((*start.overrides, *evil), start.own))
    (copy / "mine.py").write_text("from subprocess import Popen\n" + own_prior()[0])
    done = type_here(command.format(run=run) + " " + OPTIONS.format(copy), elsewhere)
    assert done.returncode == 1
    assert f"dataset.source._target_: {target} is code outside dgm_run" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (elsewhere / "victim").exists()


def test_engine_settings_of_a_folder_run_no_code(tmp_path):
    task = ["seed=0,1"]
    engine = [
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.callbacks.x={_target_: os.mkdir}"),
        *("+hydra.launcher._target_=os.mkdir", "hydra.searchpath=[file:///x]"),
        "hydra.callbacks.sweep_folder.packages=[os]",
    ]
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": {"task": task, "hydra": engine}}}))
    now = add_sweep([f"sweep.resume={tmp_path}"], OwnCode())
    assert now[:4] == ["-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert not [each for each in now if "_target_" in each or "searchpath" in each or "[os]" in each]


def test_folder_brings_no_settings_of_hydra(tmp_path):
    write_start(tmp_path, Start(("seed=1", "hydra.callbacks.x={_target_: os.mkdir}")))
    assert not [each for each in add_run([f"trainer.resume={tmp_path}"], OwnCode()) if "os.mkdir" in each]


def test_new_choice_drops_settings_of_the_old(tmp_path):
    start = ("dataset/augment=[shift]", "dataset.augment.shift.max_shift=1", "prior=mixture", "prior.num_components=3")
    write_start(tmp_path, Start((*start, "seed=1")))
    now = add_run([f"trainer.resume={tmp_path}", "dataset/augment=[flip]", "prior=standard"], OwnCode())
    assert [each for each in now if each in (*start, "seed=1")] == ["seed=1"]


def test_compose_takes_a_config_dir(tmp_path):
    project(tmp_path)
    cfg = dgm_run.compose("prior=mine", "prior.scale=3", config_dir=tmp_path / "conf")
    assert cfg.prior == {"_target_": "mine.MyPrior", "latent_dim": 40, "scale": 3}
    for name in NAMES:
        shutil.copytree(tmp_path / "conf", tmp_path / name)
        assert dgm_run.compose("prior=mine", config_dir=tmp_path / name).prior.scale == 1.0
    with pytest.raises(ConfigError, match="config_dir: there is no folder"):
        dgm_run.compose(config_dir=tmp_path / "nowhere")


def test_python_evaluates_and_loads_own_parts(copy, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    start = read_start(copy / "run")
    cfg = dgm_run.compose(*start.overrides, "estimators.importance_sampling.num_samples=3", config_dir=copy / "conf")
    with pytest.raises(CheckpointError, match=r"mine.MyPrior is not built from a run folder.*packages="):
        dgm_run.load(copy / "run")
    packages = [str(copy / "mine.py")]
    assert type(dgm_run.load(copy / "run", packages=packages).model.prior).__name__ == "MyPrior"
    rows = dgm_run.evaluate(cfg, copy / "run", packages)["estimates"]
    assert {row["settings"].get("num_samples") for row in rows} >= {2, 3}


@pytest.mark.parametrize(
    "name", ["~ü [$HOME]\\", *(pytest.param(name, marks=pytest.mark.slow) for name in ("it's", 'a"b, x=1'))]
)
@pytest.mark.parametrize(
    "engine", ["", pytest.param("hydra/launcher=joblib hydra.launcher.n_jobs=1", marks=pytest.mark.slow)]
)
def test_a_failed_sweep_goes_on_by_its_command(name, engine, tmp_path, elsewhere, type_here):
    if engine:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    here_it_is = project(tmp_path / f"project {name}", name)
    sweep = here_it_is / f"sweep {name}"
    begun = join_for_shell("dgm-run", "-m", "prior=mine", "--config-dir", name, "prior.scale=1,-1", *TINY,
                  write_override("hydra.sweep.dir", sweep), *engine.split())  # fmt: skip
    done = type_here(begun, here_it_is)
    assert done.returncode == 1
    assert "job 1 (prior.scale=-1): model.prior: math domain error" in done.stderr.rpartition("failed jobs:")[2]
    again = text_after(done.stderr, "to run the missing jobs: ")
    assert shlex.split(text_after(done.stdout, "to compare the runs: ")) == ["dgm-report", str(sweep)]
    first = (sweep / "0" / "results.json").read_bytes()
    bare = type_here(join_for_shell("dgm-run", write_override("sweep.resume", sweep)), elsewhere)
    assert bare.returncode == 1
    assert bare.stderr == f"{sweep} needs code outside dgm_run: if you trust it, run {again}\n"

    code = (here_it_is / "mine.py").read_text()
    (here_it_is / "mine.py").write_text(code.replace("math.log(scale)", "math.log(abs(scale))"))
    done = type_here(again, elsewhere)
    assert done.returncode == 0, done.stderr
    assert (sweep / "0" / "results.json").read_bytes() == first
    assert (sweep / "1" / "results.json").exists()
    assert read_start(sweep / "1").own == OwnCode(str(here_it_is / name), (str(here_it_is / "mine.py"),))
    assert type_here(text_after(done.stdout, "to compare the runs: ").strip(), elsewhere).returncode == 0
    assert not list(elsewhere.iterdir())


# what a command may say


def test_refused_command_leaves_run_as_it(own, copy, elsewhere, type_here):
    begun = join_for_shell("dgm-run", *TINY, "seed=5", write_override("hydra.run.dir", copy / "run"))
    done = type_here(begun, elsewhere)
    added = text_after(done.stderr, "holds a run: add ").removesuffix(" to resume it, or choose another folder")
    assert shlex.split(added) == [write_override("trainer.resume", copy / "run")]
    done = type_here(f"dgm-run {added} trainer.max_epochs=2 {OPTIONS.format(copy)}", elsewhere)
    assert done.returncode == 0, done.stderr
    assert load_config(copy / "run")["seed"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["trainer.resume=run", "hydra.run.dir=other"],
            "trainer.resume continues in {0}/run: drop hydra.run.dir=other",
        ),
        (["sweep.resume=sweep", "hydra.sweep.dir=x"], "sweep.resume continues in {0}/sweep: drop hydra.sweep.dir=x"),
        (["-m", "trainer.resume=run", "seed=0,1"], "trainer.resume resumes one run: drop -m"),
        (["trainer.resume=a,b"], "trainer.resume: there is no run folder a,b: start the run without it"),
        (["sweep.resume='it'"], "sweep.resume: there is no sweep in it: give the folder that holds its multirun.yaml"),
        (["--config-name", "mine"], "--config-name: name a folder of your own YAML files by --config-dir DIR"),
        (["hydra.searchpath=[file://x]"], "hydra.searchpath: name a folder of your own YAML files by --config-dir DIR"),
    ],
)
def test_contradiction_is_refused(arguments, message, tmp_path, monkeypatch, capfd):
    (tmp_path / "run").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").write_text("hydra: {overrides: {task: ['seed=0,1'], hydra: []}}\n")
    done = run_here("main", arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(message.format(tmp_path))
    assert done.stderr.count("\n") == 1


def test_the_folder_may_be_named_once_more(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    now = add_run(["trainer.resume=run", "hydra.run.dir=./run", "seed=1"], OwnCode())
    places = [write_override(key, tmp_path / "run") for key in ("trainer.resume", "hydra.run.dir")]
    assert now[:3] == ["seed=1", *places]


@pytest.mark.parametrize("more", ["trainer.batch_size=50", "+trainer.x=1", "model=rbm"])
def test_resumed_sweep_refuses_settings(more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    begun = "hydra: {overrides: {task: ['seed=0,1'], hydra: [hydra.mode=MULTIRUN, hydra/launcher=joblib]}}\n"
    (tmp_path / "sweep" / "multirun.yaml").write_text(begun)
    with pytest.raises(ConfigError, match=re.escape(f"sweep.resume: {more} makes another sweep: drop it")):
        add_sweep(["sweep.resume=sweep", more], OwnCode())
    now = add_sweep(["sweep.resume=sweep", "trainer.threads=1", "hydra.launcher.n_jobs=2"], OwnCode())
    engine = ["hydra/launcher=joblib", "trainer.threads=1", "hydra.launcher.n_jobs=2", "trainer.resume=auto"]
    assert now[:7] == ["-m", "seed=0,1", *engine, f"hydra.sweep.dir={tmp_path / 'sweep'}"]


@pytest.mark.parametrize("arguments", [["--cfg", "job", "{run}"], ["{run}", "--cfg", "job", "seed=1"]])
def test_a_resumed_configuration_is_shown(arguments, tmp_path, monkeypatch, capfd):
    write_start(tmp_path, Start(("prior=mixture",)))
    arguments = [each.format(run=f"trainer.resume={tmp_path}") for each in arguments]
    done = run_here("main", arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert "MixturePrior" in done.stdout


def test_config_dir_is_found_in_hydras_configuration():
    sources = [{"provider": "main", "path": "/a"}, {"provider": "command-line", "path": "/b"}]
    assert find_config_dir(OmegaConf.create({"runtime": {"config_sources": sources}})) == "/b"
    assert find_config_dir(OmegaConf.create({})) is None


# where data are

SHAPE = ("dataset=arrays", "dataset.shape=[1,4,4]", "dataset.num_levels=256", "dataset.binarize=dynamic",
         "dataset.source.num_valid=50", "dataset.source.num_test=50")  # fmt: skip


def write_data(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=np.random.default_rng(seed).integers(0, 2, (400, 1, 4, 4)).astype(np.uint8) * 255)


@pytest.mark.parametrize("more", ["", pytest.param("hydra.job.chdir=true", marks=pytest.mark.slow)])
def test_a_run_finds_its_data_from_any_folder(more, tmp_path, elsewhere, type_here):
    write_data(tmp_path / "my data.npz")
    path = write_override("dataset.source.path", "my data.npz")
    begun = join_for_shell("dgm-run", *SHAPE, *TINY, path, "data_dir='~'", "hydra.run.dir=run", *more.split())
    assert type_here(begun, tmp_path).returncode == 0
    run = tmp_path / "run"
    config = load_config(run)
    assert config["dataset"]["source"]["path"] == str(tmp_path / "my data.npz")
    assert config["data_dir"] == str(Path.home())
    assert write_override("dataset.source.path", tmp_path / "my data.npz") in read_start(run).overrides
    for line in (f"dgm-run trainer.resume={run} trainer.max_epochs=2", f"dgm-eval {run}", f"dgm-sample {run} n=4"):
        done = type_here(line, elsewhere)
        assert done.returncode == 0, done.stderr
        assert "nearest neighbours skipped" not in done.stderr

    (tmp_path / "my data.npz").rename(tmp_path / "moved.npz")
    for line in (f"dgm-eval {run}", f"dgm-run trainer.max_epochs=3 trainer.resume={run}"):
        done = type_here(line, elsewhere)
        assert done.returncode == 1
        where = f"dataset.source.path: the data were in {tmp_path / 'my data.npz'} and are no longer there"
        assert done.stderr == f"{where}: name their new place: {line} dataset.source.path=NEW\n"
        done = type_here(f"{line} dataset.source.path=../moved.npz", elsewhere)
        assert done.returncode == 0, done.stderr
    assert type_here(f"dgm-eval {run}", elsewhere).returncode == 0  # a run that went on has noted the new place

    write_data(tmp_path / "other.npz", seed=1)
    done = type_here(f"dgm-run trainer.resume={run} trainer.max_epochs=4 dataset.source.path=../other.npz", elsewhere)
    assert done.returncode == 1
    assert "has changed since the run started" in done.stderr
    done = type_here(f"dgm-eval {run} dataset.source.path=../other.npz", elsewhere)
    assert done.returncode == 0, done.stderr
    assert "is evaluated on other data: arrays, binarisation dynamic " in done.stdout
    assert write_override("dataset.source.path", tmp_path / "moved.npz") in read_start(run).overrides


def test_a_sweep_over_data_goes_on_from_any_folder(tmp_path, elsewhere, type_here):
    for seed, name in enumerate(("a.npz", "b.npz")):
        write_data(tmp_path / name, seed)
    begun = ("-m", *SHAPE, *TINY, "dataset.source.path=a.npz,b.npz", "hydra.sweep.dir=sweep")
    assert type_here(join_for_shell("dgm-run", *begun), tmp_path).returncode == 0
    sweep = tmp_path / "sweep"
    found = [load_config(sweep / job)["dataset"]["source"]["path"] for job in "01"]
    assert found == [str(tmp_path / name) for name in ("a.npz", "b.npz")]
    shutil.rmtree(sweep / "1")
    kept = (sweep / "0" / "results.json").read_bytes()
    done = type_here(f"dgm-run sweep.resume={sweep}", elsewhere)
    assert done.returncode == 0, done.stderr
    assert (sweep / "0" / "results.json").read_bytes() == kept
    assert load_config(sweep / "1")["dataset"]["source"]["path"] == str(tmp_path / "b.npz")


def test_a_path_in_yaml_counts_from_where_the_run_began(tmp_path, elsewhere, type_here):
    write_data(tmp_path / "data" / "x.npz")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    preset = "# @package _global_\ndefaults:\n  - override /dataset: arrays\ndataset:\n  source: {path: data/x.npz}\n"
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(preset)
    line = ["dgm-run", "--config-dir", "conf", "+experiment=mine", *SHAPE[1:], *TINY, "hydra.run.dir=run"]
    assert type_here(join_for_shell(*line), tmp_path).returncode == 0
    done = type_here(f"dgm-eval {tmp_path}/run --config-dir {tmp_path}/conf", elsewhere)
    assert done.returncode == 0, done.stderr
    assert write_override("dataset.source.path", tmp_path / "data" / "x.npz") in read_start(tmp_path / "run").overrides


def test_other_data_restart_a_finished_run(tmp_path, type_here):
    for seed, name in enumerate(("a.npz", "b.npz")):
        write_data(tmp_path / name, seed)
    line = join_for_shell("dgm-run", *SHAPE, *TINY, "hydra.run.dir=run", "trainer.resume=auto")
    assert type_here(f"{line} dataset.source.path=a.npz", tmp_path).returncode == 0
    assert "there is nothing to do" in type_here(f"{line} dataset.source.path=a.npz", tmp_path).stdout
    done = type_here(f"{line} dataset.source.path=b.npz", tmp_path)
    assert done.returncode == 1
    assert "has changed since the run started" in done.stderr


def test_data_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = [
        *(
            "dataset.source.path=x",
            "dataset.source.decoded=null",
            "data_dir='a b'",
            "+estimators.e.other.source.path=y",
        ),
        *("dataset.source.path=${data_dir}/x", "dataset.source.path=a,b", "hydra.run.dir=x", "prior.path=x"),
    ]
    assert fix_data_paths(given) == [
        *(f"dataset.source.path={tmp_path}/x", "dataset.source.decoded=null", f"data_dir='{tmp_path}/a b'"),
        *(f"+estimators.e.other.source.path={tmp_path}/y", *given[4:]),
    ]


def test_a_fingerprint_is_free_of_places(monkeypatch, tmp_path):
    for name in ("digits", "mnist", "histopathology", "arrays"):
        path = ["dataset.source.path=x", "dataset.shape=[1,4,4]"] if name == "arrays" else []
        found = set()
        for folder in ("a", "b"):
            cfg = dgm_run.compose(f"dataset={name}", *path, f"data_dir={folder}")
            dgm_run.config.compose.resolve_data_paths(cfg, tmp_path / folder)
            found.add(config_hash(dgm_run.runner.run_folder.resolve_config(cfg)))
        assert len(found) == 1, name
