"""Features of a network in a file: the Fréchet distance by SciPy, the same by TorchScript and ONNX, and refusals."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor, nn

import dgm_run
from dgm_run.config.compose import instantiate, resolve_data_paths
from dgm_run.errors import ConfigError
from dgm_run.estimators.samples.frechet import frechet_distance
from dgm_run.estimators.samples.kernel import cubic_distances
from dgm_run.estimators.samples.network_file import NetworkFile, check_network
from dgm_run.estimators.samples.sample_quality import SampleQuality
from tests.support.readme import read_code
from tests.support.tiny import TINY, run_command, run_here

NO_CODE = {"config_dir": None, "packages": []}
SETTINGS = {"num_samples": 300, "feature_seed": 0, "num_neighbours": 5, "num_permutations": 9, "means": False}
WEIGHT = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)


class Flatten(nn.Module):
    """The features tanh(W^T (2 x - 1)), as a map of size one by one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(WEIGHT))

    def forward(self, x: Tensor) -> Tensor:
        return ((2 * x.flatten(1) - 1) @ self.weight).tanh()[:, :, None, None]


class Narrow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)


class Infinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 / (x.flatten(1) - x.flatten(1))


class Colours(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x).mean((2, 3))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Draws(nn.Module):
    """Gives the same samples in their order, some of them outside [0, 1]."""

    def __init__(self, x: Tensor):
        super().__init__()
        self.x = x

    def sample(self, n: int) -> Tensor:
        return self.x[:n]


def save(path, network):
    torch.jit.save(torch.jit.script(network), path)
    return str(path)


def save_onnx(path):
    """Writes the network of `Flatten` node by node."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    values = {"two": np.float32(2), "one": np.float32(1), "weight": WEIGHT, "axes": np.array([2, 3])}
    nodes = [("Flatten", ["x"], "flat"), ("Mul", ["flat", "two"], "twice"), ("Sub", ["twice", "one"], "centred"),
             ("MatMul", ["centred", "weight"], "product"), ("Tanh", ["product"], "tanh"),
             ("Unsqueeze", ["tanh", "axes"], "z")]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes],
        "features",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 6, 1, 1])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return str(path)


@pytest.fixture(scope="module")
def digits():
    return instantiate(dgm_run.compose("dataset.binarize=none", "dataset.dequantize=true").dataset).load()


def measure(features, data, samples):
    torch.manual_seed(0)
    estimator = SampleQuality(**SETTINGS, features=features).fit(None, data.train, data.valid)
    return {row.quantity: row for row in estimator(Draws(samples), data.test)}


def map_by_numpy(x):
    return np.tanh((2 * np.clip(x.numpy().astype(np.float64), 0, 1).reshape(len(x), 64) - 1) @ WEIGHT)


def test_frechet_distance_is_scipys(tmp_path, digits):
    samples = torch.rand(300, 1, 8, 8) * 1.4 - 0.2
    data = digits.test.take(300)
    path = save(tmp_path / "mine.pt", Flatten())
    digits = dgm_run.data.dataset.LoadedDataset(digits.dataset, digits.train, digits.valid, data)
    row = measure(path, digits, samples)["frechet_own"]
    a, b = map_by_numpy(data.batch(slice(None))), map_by_numpy(samples)
    covariances = np.cov(a.T), np.cov(b.T)
    root = sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert row.value == pytest.approx(expected, rel=1e-4)
    assert (row.settings["features"], row.settings["dim"]) == ("mine.pt", 6)
    assert row.settings["features_md5"] == hashlib.md5((tmp_path / "mine.pt").read_bytes()).hexdigest()[:8]


def test_onnx_gives_the_same_numbers(tmp_path, digits):
    pytest.importorskip("onnxruntime")
    samples = torch.rand(300, 1, 8, 8)
    by_onnx = measure(save_onnx(tmp_path / "mine.onnx"), digits, samples)
    by_torch = measure(save(tmp_path / "mine.ts", Flatten()), digits, samples)
    assert by_onnx.keys() == by_torch.keys()
    for name in ("frechet_own", "kid", "mmd", "nearest_train", "precision"):
        assert by_onnx[name].value == pytest.approx(by_torch[name].value, rel=1e-4, abs=1e-6), name


@pytest.mark.slow
def test_distances_are_those_of_torchmetrics(tmp_path):
    fid = pytest.importorskip("torchmetrics.image.fid")
    kid = pytest.importorskip("torchmetrics.image.kid")
    torch.manual_seed(0)
    data = torch.rand(4000, 1, 8, 8)
    samples = torch.rand(4000, 1, 8, 8).sqrt()
    flat = nn.Sequential(Flatten(), nn.Flatten())
    flat.num_features = 6
    peers = [fid.FrechetInceptionDistance(flat, normalize=True, input_img_size=(1, 8, 8)),
             kid.KernelInceptionDistance(flat, subsets=200, subset_size=1000, normalize=True)]  # fmt: skip
    for peer in peers:
        peer.update(data, real=True)
        peer.update(samples, real=False)
    network = NetworkFile(save(tmp_path / "mine.pt", Flatten()))
    a, b = network(data).double(), network(samples).double()
    assert frechet_distance(a, b) == pytest.approx(peers[0].compute().item(), rel=1e-6)
    mean, scatter = (value.item() for value in peers[1].compute())
    assert cubic_distances(a, b).mean().item() == pytest.approx(mean, abs=scatter / 2)


@pytest.mark.slow
def test_wrapper_of_the_docs_gives_features(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = [each for each in read_code() if "inception_v3" in each]
    exec(code.replace("weights=Inception_V3_Weights.DEFAULT", "weights=None, transform_input=True"), {})
    assert NetworkFile("inception.pt")(torch.rand(3, 1, 28, 28)).shape == (3, 2048)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Narrow(), r"gives features of shape \[2, 1, 64\] for 2 images: it must give \(N, D\) or \(N, D, 1, 1\)$"),
        (Infinite(), "gives features that are not finite: it must take images in"),
        (Colours(), r"fails on images \[2, 1, 8, 8\]: .*to have 3 channels, but got 1 channels instead"),
        (Pair(), r"gives tuple: it must give one tensor, \(N, D\) or \(N, D, 1, 1\)$"),
    ],
)
def test_wrong_networks_are_refused(network, message, tmp_path, digits):
    path = save(tmp_path / "mine.pt", network)
    with pytest.raises(ConfigError, match=rf"^estimators.sample_quality.features: mine.pt {message}"):
        check_network(path, digits)


@pytest.mark.parametrize("name", ["mine.pt", pytest.param("mine.onnx", marks=pytest.mark.slow)])
def test_files_of_another_kind_are_refused(name, tmp_path, digits):
    path = tmp_path / name
    with pytest.raises(ConfigError, match=f"there is no file .*{name}: give a network in TorchScript or ONNX"):
        check_network(str(path), digits)
    torch.save({"weight": torch.zeros(3)}, path)
    if name.endswith("onnx"):
        pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=f"{name} is no network in (TorchScript, as torch.jit.save writes it|ONNX): "):
        check_network(str(path), digits)


def test_missing_onnxruntime_is_named(tmp_path, digits, monkeypatch):
    monkeypatch.setattr("dgm_run.estimators.samples.network_file.find_spec", lambda name: None)
    (tmp_path / "mine.onnx").touch()
    with pytest.raises(ConfigError, match=r"needs onnxruntime, which is not installed: pip install 'dgm-run\[onnx\]'$"):
        check_network(str(tmp_path / "mine.onnx"), digits)


def test_real_values_and_vectors_are_refused(tmp_path):
    path = save(tmp_path / "mine.pt", Flatten())
    vectors = instantiate(dgm_run.compose("dataset=gaussian_mixture", "dataset.source.num_train=100").dataset).load()
    with pytest.raises(ConfigError, match="mine.pt takes images, and gaussian_mixture holds none: choose pca"):
        check_network(path, vectors)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 1, 8, 8)))
    sizes = ("dataset.source.num_valid=5", "dataset.source.num_test=5", "dataset.shape=[1,8,8]")
    cfg = dgm_run.compose("dataset=arrays", f"dataset.source.path={tmp_path / 'x.npy'}", *sizes)
    with pytest.raises(ConfigError, match=r"takes images in \[0, 1\], and arrays has values from -\d"):
        check_network(path, instantiate(cfg.dataset).load())


def test_standardised_images_are_restored(tmp_path):
    path = save(tmp_path / "mine.pt", Flatten())
    x = np.random.default_rng(0).random((50, 1, 8, 8))
    np.save(tmp_path / "x.npy", x)
    sizes = ("dataset.source.num_valid=5", "dataset.source.num_test=5", "dataset.shape=[1,8,8]")
    cfg = dgm_run.compose("dataset=arrays", f"dataset.source.path={tmp_path / 'x.npy'}", "dataset.standardize=global",
                          "dataset.source.split_seed=null", *sizes)  # fmt: skip
    test = instantiate(cfg.dataset).load().test
    z = NetworkFile(path, test.standardization)(test.batch(slice(None)))
    np.testing.assert_allclose(z.numpy(), map_by_numpy(torch.from_numpy(x[-5:])), atol=1e-4)


def test_unknown_features_are_refused():
    with pytest.raises(
        ValueError, match=r"features = pixel: choose classifier, random, pca, pixels, or a network in a"
    ):
        SampleQuality(**SETTINGS, features="pixel")


def test_paths_of_networks_become_absolute(tmp_path):
    cfg = dgm_run.compose("estimators=[sample_quality]", "estimators.sample_quality.features=nets/mine.pt")
    assert resolve_data_paths(cfg, tmp_path)["estimators.sample_quality.features"] == f"{tmp_path}/nets/mine.pt"
    cfg = dgm_run.compose("estimators=[sample_quality]", "estimators.sample_quality.features=pca")
    assert "estimators.sample_quality.features" not in resolve_data_paths(cfg, tmp_path)


KEY = "estimators.sample_quality.features"
CHOSEN = ("estimators=[sample_quality]", "estimators.sample_quality.num_samples=20")
SHORT = tuple(each for each in TINY if not each.startswith("estimators"))


def refuse(path):
    return f"{KEY}: {path} is a network, which can run code, and a run folder may come from anyone: if you trust it, "


@pytest.mark.parametrize(
    "hidden", [f"{KEY}=PATH", "estimators={sample_quality:{features:PATH}}", f"{KEY}=${{logger.x}}"]
)
def test_network_of_a_stranger_is_not_read(hidden, tmp_path, monkeypatch, capfd):
    path = tmp_path / "run" / "mine.pt"
    path.parent.mkdir()
    path.touch()
    overrides = [*SHORT, *CHOSEN, "+logger.x=PATH", hidden]
    start = {"overrides": [each.replace("PATH", str(path)) for each in overrides], "own": NO_CODE}
    (tmp_path / "run" / "start.json").write_text(json.dumps(start))
    monkeypatch.setattr("torch.jit.load", lambda *a, **more: pytest.fail("it was read"))
    done = run_here("evaluate", ["run"], tmp_path, monkeypatch, capfd)
    assert (done.returncode, done.stderr) == (1, f"{refuse(path)}name it: dgm-eval {path.parent} {KEY}={path}\n")


@pytest.mark.slow
def test_named_network_is_used_again(tmp_path, monkeypatch, capfd):
    here = tmp_path / "here"
    here.mkdir()
    save(here / "mine.pt", Flatten())
    done = run_command("main", *SHORT, *CHOSEN, f"{KEY}=mine.pt", "hydra.run.dir=run", cwd=here)
    assert done.returncode == 0, done.stderr
    resume = [f"trainer.resume={here / 'run'}", "trainer.max_epochs=2"]
    done = run_here("main", resume, tmp_path, monkeypatch, capfd)
    assert done.returncode == 1
    assert done.stderr.startswith(refuse(here / "mine.pt"))
    assert f"{KEY}={here / 'mine.pt'}" in done.stderr.partition("name it: dgm-run ")[2]
    for command, words in (("evaluate", [str(here / "run")]), ("main", resume)):
        done = run_here(command, [*words, f"{KEY}=here/mine.pt"], tmp_path, monkeypatch, capfd)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_sweep_needs_the_name_of_its_network(tmp_path):
    save(tmp_path / "mine.pt", Flatten())
    named = f"{KEY}={tmp_path / 'mine.pt'}"
    done = run_command("main", "-m", "seed=0,1", *SHORT, *CHOSEN, named, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "sweep" / "1")
    done = run_command("main", "sweep.resume=sweep", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{refuse(tmp_path / 'mine.pt')}name it: dgm-run sweep.resume={tmp_path / 'sweep'} {named}" in done.stderr
    assert not (tmp_path / "sweep" / "1" / "results.json").exists()
    done = run_command("main", "sweep.resume=sweep", named, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep" / "1" / "results.json").exists()
