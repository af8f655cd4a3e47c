"""The whole road: numbers against closed forms through the command, and what a run refuses."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import dgm_run as package
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import OutOfMemory
from dgm_run.estimators.likelihood.importance_sampling import ImportanceSampling
from dgm_run.runner import run as run_module
from dgm_run.runner import run_folder
from tests.support.tiny import TINY, dgm_run, metrics


def test_one_python_call_is_the_command_without_the_shell(tmp_path):
    cfg = package.compose(*TINY)
    before = OmegaConf.to_yaml(cfg)
    found = package.run(cfg, tmp_path)
    assert found["estimates"][0]["quantity"] == "log_likelihood"
    assert OmegaConf.to_yaml(cfg) == before  # it can be used again
    assert package.load(tmp_path).sample(2).shape == (2, 1, 8, 8)


@pytest.fixture
def failing(monkeypatch):
    """Importance sampling that fails as long as its list is not empty."""
    failures = [np.linalg.LinAlgError("singular")]
    works = ImportanceSampling.__call__

    def call(self, *arguments):
        if failures:
            raise failures[0]
        return works(self, *arguments)

    monkeypatch.setattr(ImportanceSampling, "__call__", call)
    return failures


def test_a_failed_estimator_loses_no_other(failing, tmp_path):
    both = (*TINY, "estimators=[importance_sampling,out_of_distribution]",
            "+dataset@estimators.out_of_distribution.dataset=digits")  # fmt: skip
    found = package.run(package.compose(*both), tmp_path)
    assert found["failed_estimators"]["importance_sampling"] == "LinAlgError: singular"
    assert json.loads((tmp_path / "results.json").read_text()) == found
    log = (tmp_path / "run.log").read_text()
    assert "estimators.importance_sampling failed: LinAlgError: singular" in log
    assert "Traceback" in log
    failing.clear()
    again = package.run(package.compose(*both, "trainer.resume=auto"), tmp_path)  # does what is missing
    assert again["failed_estimators"] == {}
    assert again["estimates"][0]["estimator"] == "importance_sampling"


def test_failed_estimator_can_run_again(failing, tmp_path):
    package.run(package.compose(*TINY), tmp_path)
    assert package.evaluate(package.compose(*TINY), tmp_path)["failed_estimators"] != {}
    others = [option for option in TINY if not option.startswith("estimators")]
    kept = package.evaluate(package.compose(*others, "estimators=[]"), tmp_path)
    assert list(kept["failed_estimators"]) == ["importance_sampling"]
    failing.clear()
    found = package.evaluate(package.compose(*TINY), tmp_path)
    assert found["failed_estimators"] == {}
    assert found["estimates"][0]["quantity"] == "log_likelihood"


def test_pictures_that_fail_are_said(tmp_path, monkeypatch):
    def fail(self, step, epoch):
        raise IndexError("nothing to see")

    monkeypatch.setattr("dgm_run.runner.gallery.Gallery._draw", fail)
    assert package.run(package.compose(*TINY), tmp_path)["estimates"]
    assert "pictures after epoch 1 failed: IndexError: nothing to see" in (tmp_path / "run.log").read_text()


def test_configuration_is_never_half_written(tmp_path, monkeypatch):
    run_folder.save_config(tmp_path, {"seed": 1})
    before = run_folder.config_path(tmp_path).stat()
    run_folder.save_config(tmp_path, {"seed": 1})
    assert run_folder.config_path(tmp_path).stat() == before  # the same is not written again
    monkeypatch.setattr("dgm_run.runner.run_folder.os.replace", lambda *paths: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_folder.save_config(tmp_path, {"seed": 2})
    assert run_folder.config_path(tmp_path).read_text() == "seed: 1\n"
    assert len(list((tmp_path / ".hydra").iterdir())) == 1


def test_exhausted_memory_in_training_is_reported(tmp_path, monkeypatch):
    def step(self, *arguments):
        return torch.empty(2**58)

    monkeypatch.setattr("dgm_run.objectives.base.Objective.step", step)
    with pytest.raises(OutOfMemory, match=r"at step 0 \(1024.0 PiB asked for\): trainer.batch_size=500 is too large"):
        package.run(package.compose(*TINY), tmp_path)


def test_a_run_without_estimators_trains_and_reports_no_numbers(tmp_path):
    tiny = [option for option in TINY if not option.startswith("estimators")]
    found = package.run(package.compose(*tiny, "estimators=[]"), tmp_path)
    assert found["estimates"] == []
    assert found["training"]["steps"] == 3


def test_jobs_inherit_no_precision_or_seed(tmp_path):
    package.run(package.compose(*TINY, "trainer.precision=fp64"), tmp_path / "double")
    package.run(package.compose(*TINY), tmp_path / "after")
    done = dgm_run(*TINY, "hydra.run.dir=alone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "after") == metrics(tmp_path / "alone")


def test_all_precisions_start_from_the_same_weights(tmp_path):
    from dgm_run.recording.checkpoint import Checkpoints

    frozen = ("optimizer.lr=1e-300",)
    for precision in ("fp32", "fp64"):
        package.run(package.compose(*TINY, *frozen, f"trainer.precision={precision}"), tmp_path / precision)
    single, double = (Checkpoints(tmp_path / p / "checkpoints").load("last")[0] for p in ("fp32", "fp64"))
    assert all((single[name] == double[name].float()).all() for name in single)


def test_likelihood_of_constant_model_exact(tmp_path):
    # all pixels are independent of z and x: log p(x) is the entropy of fair coins, whatever the estimator does
    found = package.run(
        package.compose(*TINY, "decoder.hidden_dims=[]", "optimizer=sgd", "optimizer.lr=1e-30"), tmp_path / "a"
    )
    from dgm_run.config.compose import instantiate
    from dgm_run.data.data_split import DataSplit, to_float

    cfg = package.compose(*TINY)
    model = instantiate(cfg.model)
    with torch.no_grad():
        model.decoder.output.weight.zero_()
        model.decoder.output.bias.zero_()
    estimator = instantiate(cfg.estimators.importance_sampling)
    x = (torch.rand(50, 1, 8, 8) < 0.5).float()
    rows = {e.quantity: e for e in estimator(model.eval(), DataSplit(x, None, to_float))}
    assert rows["reconstruction"].value == pytest.approx(-64 * math.log(2), abs=1e-4)
    assert found["estimates"][0]["kind"] == "estimate"


def ppca(x: np.ndarray, num_components: int, rows: np.ndarray) -> float:
    """Mean log-likelihood of `rows` under scikit-learn's probabilistic PCA of x, nats."""
    model = PCA(num_components).fit(x)
    covariance = model.components_.T @ np.diag(model.explained_variance_ - model.noise_variance_) @ model.components_
    # scikit-learn divides by N - 1; the maximum-likelihood solution divides by N
    covariance = (covariance + model.noise_variance_ * np.eye(x.shape[1])) * (len(x) - 1) / len(x)
    return multivariate_normal(model.mean_, covariance, allow_singular=False).logpdf(rows).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("num_components", "train", "test"), [(2, -0.0366, -0.3374), (10, 18.6886, 15.5197)])
def test_linear_vae_reaches_ppca(num_components, train, test, tmp_path):
    x = load_digits().data.astype(np.float32) / 16
    fit, rest = x[:1000], x[1350:]
    assert ppca(fit, num_components, fit) == pytest.approx(train, abs=1e-3)
    assert ppca(fit, num_components, rest) == pytest.approx(test, abs=1e-3)
    np.savez(tmp_path / "digits.npz", train=fit, valid=fit, test=rest)
    done = dgm_run(
        "dataset=arrays", f"dataset.source.path={tmp_path}/digits.npz", "dataset.shape=[64]",
        "dataset.standardize=none", "likelihood=gaussian",
        "encoder.hidden_dims=[]", "decoder.hidden_dims=[]", f"model.latent_dim={num_components}",
        "posterior=full_gaussian", "optimizer.lr=5e-3", "schedule=cosine", "trainer.max_epochs=2000",
        "trainer.patience=null", "trainer.eval_every=100", "trainer.image_every_epochs=null", "trainer.threads=1",
        "estimators.importance_sampling.num_samples=1000", "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "run" / "results.json").read_text())["estimates"][0]["value"]
    decoder = package.load(tmp_path / "run").model.decoder
    w, b = decoder.output.weight.detach().double().numpy(), decoder.output.bias.detach().double().numpy()
    covariance = w @ w.T + decoder(torch.zeros(1, num_components)).variance.flatten()[0].item() * np.eye(64)
    exact = {
        name: multivariate_normal(b, covariance).logpdf(rows).mean() for name, rows in (("fit", fit), ("rest", rest))
    }
    assert exact["fit"] == pytest.approx(train, abs=0.01)
    assert exact["rest"] == pytest.approx(test, abs=0.05)  # the test rows had no part in the fit
    assert found == pytest.approx(exact["rest"], abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif("DGM_DATA_DIR" not in os.environ, reason="needs MNIST in DGM_DATA_DIR")
@pytest.mark.parametrize(
    ("prior", "epochs", "elbo"),
    [("standard", 5, -106.1), ("standard", 10, -100.8), ("standard", 20, -97.2), ("vampprior", 5, -103.0),
     ("vampprior", 10, -97.3)],
)  # fmt: skip
def test_mnist_reaches_the_reference_after_as_many_epochs(prior, epochs, elbo, tmp_path):
    # figures of an independent implementation, over (nearly) all 60,000 training images
    done = dgm_run(
        "dataset=mnist", "dataset.source.num_valid=500", f"prior={prior}", f"trainer.max_epochs={epochs}",
        "estimators.importance_sampling.num_samples=10", "trainer.threads=1", "hydra.run.dir=run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "run" / "results.json").read_text())["estimates"]
    found = next(row["value"] for row in rows if row["quantity"] == "elbo")
    assert found == pytest.approx(elbo, abs=1.0)


@pytest.mark.slow
def test_wheel_runs_from_any_folder(tmp_path):
    pytest.importorskip("hatchling")
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), root]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys, dgm_run.config.hydra_compose as c; print(c.conf_dir(), flush=True); "
        "from dgm_run.cli.main import {0}; sys.argv = ['dgm-run', *sys.argv[1:]]; {0}()"
    )
    for function, arguments in (("main", ("prior=vampprior", "hydra.run.dir=run", *TINY)), ("report", (".",))):
        done = subprocess.run([sys.executable, "-c", code.format(function), *arguments], cwd=elsewhere, text=True,
                              capture_output=True, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
                              check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(str(tmp_path / "site" / "dgm_run" / "conf"))
    assert (elsewhere / "report.html").exists()


def test_no_python_file_or_yaml_names_a_path_of_a_machine():
    root = Path(__file__).parents[2]
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False).stdout.split()
    for name in listed:
        if name.endswith((".py", ".yaml", ".md", ".toml")):
            with open(os.path.join(root, name)) as file:
                assert not re.search(r"/(home|root|Users)/\w", file.read()), name


def test_signal_at_the_end_is_not_lost(tmp_path, monkeypatch):
    """A sweep that was asked to stop must not start its next job."""
    finish = run_module.finish_run

    def finish_and_receive(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return finish(*arguments)

    monkeypatch.setattr(run_module, "finish_run", finish_and_receive)
    with pytest.raises(Interrupted, match="holds the finished run") as stopped:
        package.run(package.compose(*TINY), tmp_path)
    assert stopped.value.signum == signal.SIGTERM
    assert (tmp_path / "results.json").exists()
