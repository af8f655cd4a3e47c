import math

import numpy as np
import pytest
import torch
from PIL import Image

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.errors import OutOfMemory
from dgm_run.runner.sample import draw, interpolate_linearly, interpolate_spherically, traverse_latents, write
from tests.support.tiny import TINY, TINY_LABELLED, run_command


def model(*overrides):
    torch.manual_seed(0)
    return instantiate(dgm_run.compose(*overrides).model).eval()


def test_seed_determines_the_draws():
    m = model("model.latent_dim=3", "decoder.hidden_dims=[4]", "encoder.hidden_dims=[4]")
    first, again, other = draw(m, 10, 1), draw(m, 10, 1), draw(m, 10, 2)
    shown = {"samples": 10, "samples_drawn": 10, "interpolations": 64, "interpolations_spherical": 64, "traversals": 24}
    assert {name: len(x) for name, x in first.items()} == shown
    for name, x in first.items():
        assert torch.equal(x, again[name])
        assert not torch.equal(x, other[name])
    assert set(first["samples_drawn"].unique().tolist()) == {0.0, 1.0}
    assert ((first["samples"] > 0) & (first["samples"] < 1)).all()


def test_models_show_what_they_have():
    assert set(draw(model("model=rbm", "model.num_hidden=4"), 3, 0)) == {"samples_drawn"}
    m2 = model("model=m2", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[4]")
    found = draw(m2, 3, 0)
    assert set(found) == {"samples", "samples_drawn", "by_class"}
    assert found["by_class"].shape == (80, 1, 8, 8)


def test_neighbours_are_nearest_by_pixels():
    m = model("model=gan", "decoder.hidden_dims=[4]")
    x = torch.rand(40, 1, 8, 8)
    found = draw(m, 10, 0, DataSplit(x, None, to_float))
    samples, rows = found["samples"], found["nearest_neighbours"]
    assert torch.equal(rows[:8], samples[:8])
    for i in range(8):
        distances = [(samples[i] - each).norm().item() for each in x]
        assert torch.equal(rows[8 + i], x[distances.index(min(distances))])


def test_only_the_arc_stays_on_the_shell():
    torch.manual_seed(0)
    a, b = torch.randn(2, 3, 400).unbind(0)
    shares = torch.linspace(0, 1, 5)
    for way in (interpolate_linearly, interpolate_spherically):
        z = way(a, b, shares)
        assert z.shape == (3, 5, 400)
        torch.testing.assert_close(z[:, 0], a)
        torch.testing.assert_close(z[:, -1], b)
    torch.testing.assert_close(interpolate_linearly(a, b, shares)[:, 2], (a + b) / 2)
    assert interpolate_linearly(a, b, shares)[:, 2].norm(dim=1).max() < 16
    assert interpolate_spherically(a, b, shares)[:, 2].norm(dim=1).min() > 18
    x, y = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(interpolate_spherically(x, y, torch.tensor([0.5])), torch.full((1, 1, 2), math.sqrt(2)))


def test_traversal_moves_one_dimension():
    m = model("model.latent_dim=2")
    asked = []
    decode = m.decode
    m.decode = lambda z: asked.append(z) or decode(z)
    torch.manual_seed(0)
    traverse_latents(m)
    z = asked[0].view(2, 8, 2)
    for dim in range(2):
        assert (z[dim, :, 1 - dim] == z[0, 0, 1]).all() or (z[dim, :, 1 - dim] == z[1, 0, 0]).all()
        assert (z[dim, :, dim].diff() > 0).all()
        assert z[dim, 0, dim].item() == pytest.approx(-2.05, abs=0.3)


def test_many_samples_are_drawn_in_batches(monkeypatch):
    m = model("model.latent_dim=3", "decoder.hidden_dims=[4]", "encoder.hidden_dims=[4]")
    asked = []
    generate = m.generate
    monkeypatch.setattr(m, "generate", lambda n: asked.append(n) or generate(n))
    found = draw(m, 2500, 0)
    assert asked == [1000, 1000, 500]
    assert len(found["samples"]) == len(found["samples_drawn"]) == 2500
    assert len(found["samples"].unique(dim=0)) > 2400  # no batch repeats another


@pytest.mark.parametrize("overrides", [(), ("model=rbm", "model.num_hidden=4")])
def test_too_many_samples_are_refused(overrides, monkeypatch):
    monkeypatch.setattr("dgm_run.memory.get_free_memory", lambda: 2.0**34)
    with pytest.raises(
        OutOfMemory,
        match=r"^n=999999999 samples need about [\d.]+ [GT]iB of memory, of which 16.0 GiB are free: lower n$",
    ):
        draw(model(*overrides), 999_999_999, 0)


def test_a_grid_has_a_limit(tmp_path):
    files = write({"samples": torch.rand(3000, 1, 32, 32)}, tmp_path)
    assert Image.open(files[1]).size == (8 * 33 + 1, 128 * 33 + 1)
    assert len(np.load(files[0])["samples"]) == 3000


def test_arrays_and_grids_are_written(tmp_path):
    found = {"samples": torch.rand(10, 1, 8, 8), "rows": torch.rand(10, 3)}
    files = write(found, tmp_path / "drawn")
    assert [file.name for file in files] == ["samples.npz", "samples.png"]
    kept = np.load(files[0])
    np.testing.assert_array_equal(kept["samples"], found["samples"].numpy())
    assert kept["rows"].shape == (10, 3)
    assert Image.open(files[1]).size[0] > 8 * 24


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    done = run_command("main", *TINY, f"hydra.run.dir={folder}/run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_command_writes_what_it_names(run):
    done = run_command("sample", "run", "n=5", "seed=3", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    files = [run.parent / line for line in done.stdout.splitlines()]
    assert files[0] == run / "drawn" / "seed_3" / "samples.npz"
    assert all(file.exists() for file in files)
    assert np.load(files[0])["samples"].shape == (5, 1, 8, 8)
    assert "nearest_neighbours.png" in {file.name for file in files}


def test_python_run_is_sampled_without_data(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, "trainer.precision=fp64"), tmp_path / "run")
    done = run_command("sample", "run", "n=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "warning: nearest neighbours skipped, data set not available: the run has no settings" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no run folder nowhere: dgm-sample RUN_DIR"),
        (["run", "n=0"], "n=0: dgm-sample takes n=NUMBER, seed=NUMBER"),
        (["run", "seed=x"], "seed=x: dgm-sample takes n=NUMBER, seed=NUMBER"),
        (["run", "m=3"], "m=3: dgm-sample takes n=NUMBER, seed=NUMBER"),
        (["."], "is no run folder"),
    ],
)
def test_unknown_arguments_are_refused(arguments, message, run):
    done = run_command("sample", *arguments, cwd=run.parent)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_examples_of_one_label_are_drawn(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY_LABELLED), tmp_path / "run")
    done = run_command("sample", "run", "n=5", "label=7", "seed=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "drawn" / "label_7_seed_2"
    drawn = np.load(folder / "samples.npz")["samples_drawn"]
    assert np.array_equal(drawn, dgm_run.load(tmp_path / "run").sample(5, y=7, seed=2))
    assert done.stdout.splitlines() == [
        f"run/drawn/label_7_seed_2/{name}" for name in ("samples.npz", "samples_drawn.png")
    ]
    done = run_command("sample", "run", "label=10", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "y = 10: the labels are 0 to 9\n")
