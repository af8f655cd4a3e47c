"""Runs of models trained elsewhere, against densities in closed form and against the libraries themselves."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import multivariate_normal

import dgm_run
from dgm_run.errors import CheckpointError, ConfigError
from tests.support import readme
from tests.support.tiny import TINY, run_here

EXAMPLES = Path(__file__).parents[2] / "examples"
POINTS = ("dataset=gaussian_mixture", "dataset.source.num_train=50", "dataset.source.num_valid=20")
LINEAR = ("model=external", "model.factory=linear_gaussian.make", *POINTS, "dataset.source.num_test=30")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in ("linear_gaussian", "pythae_vae", "zuko_flow"):
        sys.modules.pop(name, None)


def log_p(model, x: np.ndarray) -> np.ndarray:
    """log N(x; mean, W W' + scale^2 I) in SciPy."""
    weight, mean = model.weight.detach().double().numpy(), model.mean.detach().double().numpy()
    return multivariate_normal(mean, weight @ weight.T + model.scale**2 * np.eye(2)).logpdf(x)


def test_likelihood_is_that_of_the_closed_form(tmp_path):
    results = dgm_run.run(dgm_run.compose(*LINEAR), tmp_path)
    model = dgm_run.load(tmp_path, packages=["linear_gaussian"])
    expected = log_p(model.model.module, model.data.test.x.numpy())
    row = next(row for row in results["estimates"] if row["quantity"] == "log_likelihood")
    assert row["estimator"] == "importance_sampling"
    assert row["value"] == pytest.approx(expected.mean(), abs=1e-4)
    np.testing.assert_allclose(model.log_likelihood(model.data.test.x).values, expected, atol=1e-3)
    assert results["model"] == "LinearGaussian"
    assert results["training"]["steps"] == 0
    assert results["failed_estimators"] == {}


def test_weights_from_a_file(tmp_path):
    from linear_gaussian import make

    torch.manual_seed(5)
    module = make()
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    cfg = dgm_run.compose(*LINEAR, f"trainer.init_from={tmp_path / 'weights.safetensors'}")
    results = dgm_run.run(cfg, tmp_path / "run")
    loaded = dgm_run.load(tmp_path / "run", packages=["linear_gaussian"])
    torch.testing.assert_close(loaded.model.module.state_dict(), module.state_dict(), rtol=0, atol=0)
    assert len(results["initial_weights"]["md5"]) == 8


def test_command_and_its_own_code(tmp_path, monkeypatch, capfd):
    run = tmp_path / "run"
    arguments = [*LINEAR, "model.arguments={scale: 0.3}", f"hydra.run.dir={run}"]
    done = run_here("main", arguments, EXAMPLES, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert "LinearGaussian with 4 parameters" in done.stdout + done.stderr
    done = run_here("evaluate", [str(run)], EXAMPLES, monkeypatch, capfd)
    assert done.returncode == 1
    assert "--package" in done.stderr
    package = str(EXAMPLES / "linear_gaussian.py")
    arguments = ["--package", package, str(run), "estimators.importance_sampling.num_samples=7"]
    done = run_here("evaluate", arguments, EXAMPLES, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    rows = json.loads((run / "results.json").read_text())["estimates"]
    assert {row["settings"].get("num_samples") for row in rows if row["quantity"] == "elbo"} == {500, 7}
    done = run_here("main", ["--package", package, f"trainer.resume={run}"], EXAMPLES, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr


def test_folder_is_data(tmp_path):
    dgm_run.run(dgm_run.compose(*LINEAR), tmp_path)
    with pytest.raises(CheckpointError, match=r"model\.factory\._target_: linear_gaussian\.make is not built"):
        dgm_run.load(tmp_path)


def test_name_of_a_factory_in_a_folder_is_refused(tmp_path):
    """A folder that was changed to hold the name alone, as on the command line, must not import it either."""
    dgm_run.run(dgm_run.compose(*LINEAR), tmp_path)
    path = tmp_path / ".hydra" / "config.yaml"
    text = path.read_text()
    node = "factory:\n    _target_: linear_gaussian.make\n    _partial_: true"
    assert node in text
    path.write_text(text.replace(node, "factory: linear_gaussian.make"))
    sys.modules.pop("linear_gaussian")
    with pytest.raises(CheckpointError):
        dgm_run.load(tmp_path)
    assert "linear_gaussian" not in sys.modules


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), r"model\.factory: it is not set"),
        (("model.factory=nowhere.make",), "cannot find nowhere.make"),
        (("model.factory=linear_gaussian.make",), r"decode\(z\) is a density of shape \(2,\), and needs \(1, 8, 8\)"),
        (("model.factory=linear_gaussian.make", *POINTS, "trainer=gradient"), "objective: none is chosen"),
        (
            ("model.factory=linear_gaussian.make", *POINTS, "estimators=[exact]"),
            r"none of exact goes with a latent-variable model: choose estimators=\[importance_sampling\]",
        ),
        (("model.factory=linear_gaussian.make", "model.arguments={width: 3}", *POINTS), "unexpected keyword.*width"),
    ],
)
def test_refusals(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        dgm_run.run(dgm_run.compose("model=external", *overrides), tmp_path)


def test_real_density_of_binary_pixels_is_refused(tmp_path):
    overrides = ("model.factory=linear_gaussian.make", "model.arguments={dim: 16}", "dataset=bars_and_stripes")
    with pytest.raises(ConfigError, match="density of shape|takes continuous data"):
        dgm_run.run(dgm_run.compose("model=external", *overrides), tmp_path)


def test_own_weights_without_training(tmp_path):
    trained = dgm_run.run(dgm_run.compose(*TINY), tmp_path / "trained")
    again = dgm_run.compose(
        *(each for each in TINY if not each.startswith(("trainer.max_epochs", "trainer.batch_size"))),
        *("trainer=none", f"trainer.init_from={tmp_path / 'trained'}"),
    )
    evaluated = dgm_run.run(again, tmp_path / "again")
    for first, second in zip(trained["estimates"], evaluated["estimates"], strict=True):
        assert first["value"] == second["value"]


def test_module_without_parameters(tmp_path, monkeypatch, capfd):
    code = "import torch\nclass Flat(torch.nn.Module):\n    def log_prob(self, x):\n        return {}\n"
    code += "    def sample(self, n):\n        return torch.zeros(n, 1, 8, 8)\n"
    (tmp_path / "flat.py").write_text(code.format("-44.36 * torch.ones(len(x))"))
    run = tmp_path / "run"
    arguments = ["model=external", "model.factory=flat.Flat", f"hydra.run.dir={run}"]
    done = run_here("main", arguments, tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    assert "see what its module takes" in done.stdout
    done = run_here("sample", ["--package", str(tmp_path / "flat.py"), str(run), "n=2"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    sys.modules.pop("flat")


def evaluate_exact(log_p: str, tmp_path, monkeypatch):
    """Evaluates a module whose log p(x) is this expression."""
    code = "import torch\nclass M(torch.nn.Module):\n    def log_prob(self, x):\n"
    code += f"        return {log_p} + x.new_zeros(len(x))\n"
    (tmp_path / "impossible.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "impossible", raising=False)
    return dgm_run.run(dgm_run.compose("model=external", "model.factory=impossible.M"), tmp_path / "run")


def test_likelihood_that_is_no_number_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="is NaN for the first validation examples"):
        evaluate_exact("torch.nan", tmp_path, monkeypatch)


def test_likelihood_above_one_is_warned_of(tmp_path, monkeypatch):
    results = evaluate_exact("1.0", tmp_path, monkeypatch)
    assert "exceeds 0, the largest value" in results["estimates"][0]["warning"]


def test_check_leaves_the_module_as_it_is(tmp_path, monkeypatch):
    code = "import torch\nclass Normed(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    code += "        self.norm = torch.nn.BatchNorm1d(64)\n    def log_prob(self, x):\n"
    code += "        return -self.norm(x.flatten(1)).square().sum(1)\n"
    (tmp_path / "normed.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    dgm_run.run(dgm_run.compose("model=external", "model.factory=normed.Normed"), tmp_path / "run")
    norm = dgm_run.load(tmp_path / "run", packages=["normed"]).model.module.norm
    assert norm.num_batches_tracked == 0
    assert norm.running_mean.abs().max() == 0
    sys.modules.pop("normed")


def test_shared_weights_are_saved(tmp_path, monkeypatch):
    """Two names of one tensor, as of an embedding and its inverse, which safetensors refuses."""
    import linear_gaussian

    class Tied(linear_gaussian.LinearGaussian):
        def __init__(self):
            super().__init__(2, 1, 0.5)
            self.again = self.weight

    monkeypatch.setattr(linear_gaussian, "make", Tied)
    dgm_run.run(dgm_run.compose(*LINEAR), tmp_path)
    loaded = dgm_run.load(tmp_path, packages=["linear_gaussian", "tests"]).model.module
    assert loaded.again is loaded.weight


def test_page(tmp_path, monkeypatch, capfd):
    """The module, the command and the code of docs/external_models.md."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    readme.write_adapter(tmp_path)
    page = readme.PAGES["docs/external_models.md"]
    few = "estimators.importance_sampling.num_samples=5"
    (command,) = readme.read_commands(page)
    done = run_here("main", [*command[1:], few, "hydra.run.dir=shell"], tmp_path, monkeypatch, capfd)
    assert done.returncode == 0, done.stderr
    (code,) = [each for each in readme.read_code(page) if "import dgm_run" in each]
    code = code.replace('"trainer.init_from', f'"{few}", "trainer.init_from').replace(
        "num_samples=5000", "num_samples=9"
    )
    exec(compile(code, "external_models.md", "exec"), {})  # the project's own text
    by_shell = json.loads(Path("shell/results.json").read_text())["estimates"]
    by_code = json.loads(Path("outputs/theirs/results.json").read_text())["estimates"]
    assert [row["value"] for row in by_shell] == [row["value"] for row in by_code]
    dgm_run.export("outputs/theirs", "torch", packages=["adapter"])
    sys.modules.pop("adapter")


def test_zuko_flow(tmp_path):
    pytest.importorskip("zuko")
    cfg = dgm_run.compose("model=external", "model.factory=zuko_flow.make", *POINTS)
    results = dgm_run.run(cfg, tmp_path)
    model = dgm_run.load(tmp_path, packages=["zuko_flow"])
    expected = model.model.module.flow().log_prob(model.data.test.x)
    row = results["estimates"][0]
    assert (row["quantity"], row["kind"]) == ("log_likelihood", "exact")
    assert row["value"] == pytest.approx(expected.double().mean().item(), abs=1e-5)
    assert model.sample(3).shape == (3, 2)


def test_pythae_vae(tmp_path):
    """Its likelihood against the estimate of pythae itself, from as many samples."""
    pytest.importorskip("pythae")
    from pythae.models import VAE, VAEConfig

    torch.manual_seed(0)
    vae = VAE(VAEConfig(input_dim=(1, 8, 8), latent_dim=3, reconstruction_loss="bce"))
    vae.save(str(tmp_path / "vae"))
    cfg = dgm_run.compose(
        *("model=external", "model.factory=pythae_vae.make", f"model.arguments={{folder: {tmp_path / 'vae'}}}"),
        "estimators.importance_sampling.num_samples=1000",
    )
    results = dgm_run.run(cfg, tmp_path / "run")
    model = dgm_run.load(tmp_path / "run", packages=["pythae_vae"])
    few = model.data.test.x[:40].float()
    theirs = vae.get_nll(few, n_samples=1000, batch_size=100)
    ours = model.log_likelihood(few).values
    assert ours.mean().item() == pytest.approx(float(theirs), abs=0.05)
    row = next(row for row in results["estimates"] if row["quantity"] == "log_likelihood")
    assert row["num_examples"] == 360


def test_missing_values_are_integrated_out(tmp_path):
    """log p of the observed elements, against the marginal of a Gaussian."""
    dgm_run.run(dgm_run.compose(*LINEAR), tmp_path)
    model = dgm_run.load(tmp_path, packages=["linear_gaussian"])
    module = model.model.module
    x = np.array([[0.3, np.nan], [-1.0, np.nan]])
    variance = (module.weight[0].square().sum() + module.scale**2).item()
    expected = multivariate_normal([module.mean[0].item()], [[variance]]).logpdf(x[:, :1])
    found = model.log_likelihood(x, num_samples=20_000)
    np.testing.assert_allclose(found.values, expected, atol=0.1)


def test_corrupted_data(tmp_path):
    """Without training there is no objective that could need complete data."""
    cfg = dgm_run.compose(*LINEAR, "dataset/corrupt=missing_at_random")
    results = dgm_run.run(cfg, tmp_path)
    assert "seen through missing at random" in results["preprocessing"]
    assert results["estimates"][0]["quantity"] == "log_likelihood"
