"""The command as its user meets it, as a subprocess."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.tiny import TINY, command, dgm_run, metrics, run_refused, start_command

REFUSALS = {
    "prior=vampprio": "prior=vampprio: there is no such choice: did you mean prior=vampprior",
    "prior.num_compnents=10": "prior.num_compnents: there is no such key here: prior.num_components needs prior=m",
    "estimators=[ais]": "estimators=[ais]: there is no such choice: did you mean estimators=energy or estimators=ais_d",
    "modle=vae": "modle: there is no such key: did you mean model? dgm-run",
    "latent_dim=10": "latent_dim: there is no such key: did you mean model.latent_dim? dgm-run ... --cfg job shows",
    "trainer.max_epoch=3": "trainer.max_epoch: there is no such key: did you mean trainer.max_epochs",
    "prior=null": "prior=null: to go without, write '~prior'",
}
LINES = {
    ("+latent_dim=10",): "latent_dim: there is no such key: did you mean model.latent_dim?",
    ("decoder.latent_dim=5",): "decoder.latent_dim: it follows model.latent_dim: set model.latent_dim instead",
    ("likelihood=categorical", "likelihood.num_levels=3"): (
        "likelihood.num_levels: it follows dataset.num_levels: set dataset.num_levels instead"
    ),
    ("model.latent_dim=abc",): "model.latent_dim: Value 'abc' of type 'str' could not be converted to Integer",
    ("~posterior",): "VAE needs a posterior, and none is chosen: add posterior=...",
    ("~prior",): "VAE needs a prior, and none is chosen: add prior=...",
    ("~objective",): "objective: none is chosen: add objective=...",
    ("trainer.max_epochs=ten",): "trainer.max_epochs: Value 'ten' of type 'str' could not be converted to Integer",
    ("objective=renyi", "objective.alpha=1"): "objective: alpha = 1 is the ELBO: use objective=elbo",
    ("encoder.activation=gatd",): "encoder.activation: Value 'gatd' of type 'str' could not be converted to "
    "one of gated, relu, leaky_relu, tanh, softplus, elu",
    (
        "encoder.hidden_dims=3",
    ): "encoder.hidden_dims: Value '3' of type 'int' could not be converted to List of Integer",
    ("dataset.binarize=none",): "BernoulliLikelihood takes binary data, and dataset.binarize=none gives levels: "
    "set dataset.binarize=dynamic, or choose likelihood=discretized_logistic",
    ("likelihood=gaussian",): "GaussianLikelihood takes continuous data, and dataset.binarize=dynamic gives binary: "
    "set dataset.binarize=none dataset.dequantize=true, or choose likelihood=bernoulli",
    ("model.latent_dim=0",): "model.latent_dim = 0 must be at least 1",
    ("trainer.batch_size=0",): "trainer.batch_size = 0 must be at least 1",
    ("prior=vampprior_data", "prior.num_components=5000"): "prior.num_components = 5000 exceeds the 1257 "
    "training examples: choose fewer",
    ("prior._target_=dgm_run.nothing.Here",): "prior._target_: cannot find dgm_run.nothing.Here "
    "(No module named 'dgm_run.nothing')",
    ("dataset.source.num_test=2000",): "1797 examples cannot give 180 for validation and 2000 for test: "
    "lower dataset.source.num_valid or num_test",
    ("trainer.resume=nowhere",): "trainer.resume: there is no run folder nowhere: start the run without it",
    ("trainer.device=cuda:99",): None,
    ("trainer.device=mps",): "trainer.device: mps has no float64, in which training and the estimators sum "
    "log-likelihoods: use auto, cpu or cuda",
    ("model=language_model", "dataset=pydoc", "dataset/corrupt=missing_half"): "dataset/corrupt: only images and "
    "vectors can be corrupted, not sentences: drop it",
    ("dataset=wine", "dataset/augment=[flip]"): "dataset/augment: only images can be augmented, not tables and "
    "sentences: drop it",
    ("trainer=layerwise",): "trainer: LayerwiseTrainer needs model to be of kind LayeredModel; VAE is not: "
    "choose model=dbm | dbn | m1_m2",
    ("model=dbm", "model.num_hidden=[8]"): "model: num_hidden = [8] needs two layers or more; "
    "for one layer choose model=rbm",
}


@pytest.mark.parametrize(("argument", "message"), REFUSALS.items())
def test_what_cannot_be_composed_is_refused_by_name(argument, message, tmp_path, monkeypatch, capfd):
    done = run_refused([argument], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot make the run folder" not in done.stderr


def test_unknown_choice_lists_the_choices(tmp_path, monkeypatch, capfd):
    done = run_refused(["prior=vampriop"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.rstrip().endswith("vampprior_data")
    assert "provider=" not in done.stderr


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_what_does_not_fit_is_refused(arguments, tmp_path, monkeypatch, capfd):
    done = run_refused(arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    if LINES[arguments]:
        assert done.stderr.strip() == LINES[arguments].format(cwd=tmp_path)


def test_missing_data_name_files_and_folder(tmp_path):
    done = dgm_run("dataset=mnist", "dataset.source.download=false", "data_dir=here", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    for part in (str(tmp_path / "here"), "train-images-idx3-ubyte", "https://", "dataset=digits needs no"):
        assert part in done.stderr


def test_composing_imports_nothing_heavy():
    probe = "import sys, dgm_run; dgm_run.compose('prior=vampprior'); import dgm_run.cli; print('torch' in sys.modules)"
    modules = subprocess.run(command()[:1] + ["-c", probe], capture_output=True, text=True, check=True)
    assert modules.stdout.strip() == "False"


def test_run_leaves_behind_what_it_promises(tmp_path):
    done = dgm_run("prior=vampprior", "hydra.run.dir=run", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    for expected in (
        ".hydra/config.yaml", "metrics.jsonl", "run.log", "results.json", "checkpoints/last/weights.safetensors",
        "checkpoints/best/weights.safetensors", "samples/epoch_0001.png", "samples_drawn/epoch_0001.png",
        "reconstructions/epoch_0001.png", "pseudo_inputs/epoch_0001.png",
    ):  # fmt: skip
        assert (run / expected).exists(), expected
    assert list(run.glob("events.out.tfevents.*"))
    assert "tensorboard --logdir" in done.stdout
    results = json.loads((run / "results.json").read_text())
    likelihood = results["estimates"][0]
    assert f"{likelihood['value']:.3f}" in done.stdout
    assert likelihood["quantity"] == "log_likelihood"
    assert likelihood["unit"] == "nats"
    assert likelihood["num_examples"] == 360
    assert likelihood["settings"]["num_samples"] == 2
    assert "dynamic" in results["preprocessing"]
    assert {"valid/elbo", "train/loss", "test/log_likelihood"} <= {line["name"] for line in metrics(run)}


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    assert dgm_run("hydra.run.dir=run", *TINY, cwd=tmp_path).returncode == 0
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file() and ".hydra" not in str(p)}
    done = dgm_run("hydra.run.dir=run", "seed=1", *TINY, cwd=tmp_path)
    assert done.returncode == 1
    assert "holds a run: add trainer.resume=" in done.stderr
    assert "seed: 0" in (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert all(path.read_bytes() == content for path, content in before.items() if path.name != ".lock")


def test_resumed_sweep_runs_missing_jobs(tmp_path):
    sweep = ("-m", "objective=renyi", "objective.alpha=0.3,0.5,nan,0.7", *TINY)
    assert dgm_run(*sweep, "hydra.sweep.dir=sweep", cwd=tmp_path).returncode == 1
    folder = tmp_path / "sweep"
    before = {n: (folder / n / "results.json").stat().st_mtime_ns for n in "013"}
    weights = {n: (folder / n / "checkpoints" / "best" / "weights.safetensors").read_bytes() for n in "013"}
    shutil.rmtree(folder / "0")  # never begun
    (folder / "1" / "results.json").unlink()  # killed in its evaluation
    done = dgm_run("sweep.resume=sweep", cwd=tmp_path)
    assert done.returncode == 1  # the one that failed fails again, and is named
    assert "job 2" in done.stderr.rpartition("failed jobs:")[2]
    assert "job 1" not in done.stderr.rpartition("failed jobs:")[2]
    after = {n: (folder / n / "results.json").stat().st_mtime_ns for n in "013"}
    assert after["3"] == before["3"]
    assert after["0"] != before["0"]
    assert after["1"] != before["1"]
    assert done.stdout.count("there is nothing to do") == 1
    again = {n: (folder / n / "checkpoints" / "best" / "weights.safetensors").read_bytes() for n in "013"}
    assert again == weights


def test_a_sweep_that_is_none_or_another_is_not_resumed(tmp_path):
    done = dgm_run("sweep.resume=nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1, "sweep.resume: there is no sweep in nowhere: give the folder that holds its multirun.yaml\n"
    )  # fmt: skip
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").write_text(
        "hydra: {overrides: {task: ['seed=0,1', prior=standard], hydra: []}}\n"
    )
    done = dgm_run("-m", "seed=0,1,2", "sweep.resume=sweep", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1, "sweep.resume: seed=0,1,2 makes another sweep: drop it, or start a new sweep with it\n"
    )  # fmt: skip


def test_sweep_not_begun_where_another_one(tmp_path, monkeypatch, capfd):
    (tmp_path / "my sweep").mkdir()
    begun = "hydra: {overrides: {task: ['seed=0,1'], hydra: []}}\n"
    (tmp_path / "my sweep" / "multirun.yaml").write_text(begun)
    done = run_refused(["-m", "seed=0,1", "hydra.sweep.dir='my sweep'"], tmp_path, monkeypatch, capfd)
    folder = tmp_path / "my sweep"
    again = shlex.join(["dgm-run", f"sweep.resume='{folder}'"])
    assert done == (
        1, f"hydra.sweep.dir: {folder} holds a sweep: resume it by {again}, or choose another folder\n"
    )  # fmt: skip
    assert (tmp_path / "my sweep" / "multirun.yaml").read_text() == begun


def test_a_range_to_search_in_is_refused_without_a_search(tmp_path, monkeypatch, capfd):
    done = run_refused(["-m", "optimizer.lr=tag(log,interval(1e-4,1e-2))"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("does not support sweep type : INTERVAL_SWEEP: choose hydra/sweeper=optuna")
    assert "Traceback" not in done.stderr


def test_a_sweep_under_torchrun_is_refused(tmp_path, monkeypatch, capfd):
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    done = run_refused(["-m", "seed=0,1", *TINY, "trainer.devices=2"], tmp_path, monkeypatch, capfd)
    assert (done.returncode, done.stderr) == (
        1,
        "torchrun cannot start a sweep; start each job with its own torchrun\n",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_nohup_stays_nohup(tmp_path):
    process = subprocess.Popen(
        ["nohup", *command(*TINY, "trainer.max_epochs=1000000", "trainer.patience=null", "hydra.run.dir=run")],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    log, deadline = tmp_path / "run" / "run.log", time.monotonic() + 120
    while not (log.exists() and "epoch 1" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


# interrupting and resuming

LONG = (*TINY[:3], "trainer.batch_size=20", "trainer.threads=1", "trainer.max_epochs=12", "prior=vampprior",
        "prior.num_components=10", "trainer.ema_decay=0.99", "schedule=plateau", "trainer.checkpoint_seconds=0.3",
        "trainer.patience=null", "estimators.importance_sampling.num_samples=2", "hydra.run.dir=run")  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = dgm_run(*LONG, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.xdist_group("undisturbed run")
@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGTERM,
        signal.SIGKILL,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGINT, signal.SIGHUP)),
    ],
    ids=lambda s: s.name,
)
def test_an_interrupted_run_resumes_to_the_same_bits(signum, tmp_path, undisturbed):
    run = tmp_path / "run"
    with start_command(*LONG, cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while not (run / "checkpoints" / "last").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signum)
        process.join(60)
    stderr = (tmp_path / "stderr").read_text()
    assert not (run / "results.json").exists(), "the run was over before the signal came"
    if signum == signal.SIGKILL:
        assert process.exitcode == -9
    else:
        assert process.exitcode == 128 + signum
        assert "to resume: dgm-run" in stderr
        assert f"trainer.resume={run}" in stderr
        assert stderr.count("\n") == 1

    resumed = dgm_run(*LONG[:-1], "trainer.resume=run", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after step" in resumed.stdout
    for name in ("best", "last"):
        weights = f"checkpoints/{name}/weights.safetensors"
        assert (run / weights).read_bytes() == (undisturbed / weights).read_bytes()
    assert metrics(run) == metrics(undisturbed)


@pytest.mark.xdist_group("undisturbed run")
def test_a_changed_configuration_is_refused_with_its_difference(undisturbed):
    cwd = undisturbed.parent
    done = dgm_run(*LONG[:-1], "trainer.resume=run", "prior.num_components=11", "objective.beta=2", cwd=cwd)
    assert done.returncode == 1
    assert "prior.num_components: 10 -> 11; objective.beta: 1.0 -> 2" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.xdist_group("undisturbed run")
def test_more_epochs_may_be_asked_for_on_resume(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "run")
    done = dgm_run("trainer.resume=run", "trainer.max_epochs=13", cwd=tmp_path)  # all else as it was begun
    assert done.returncode == 0, done.stderr
    assert max(line["epoch"] for line in metrics(tmp_path / "run")) == 13
