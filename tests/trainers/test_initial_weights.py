"""A run begins with the weights of another run, or of a file."""

import json

import pytest
import torch
from safetensors.torch import save_file

import dgm_run
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import ConfigError
from tests.support.tiny import TINY, stop_after

FROZEN = ("optimizer=sgd", "optimizer.lr=1e-30", "optimizer.momentum=0.0")


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*TINY, *overrides), folder)


def weights(folder):
    return dgm_run.load(folder).model.state_dict()


@pytest.fixture(scope="module")
def former(tmp_path_factory):
    folder = tmp_path_factory.mktemp("former")
    run(folder, "seed=5")
    return folder


def test_weights_of_a_run_are_the_first_ones(former, tmp_path):
    results = run(tmp_path, f"trainer.init_from={former}", *FROZEN)
    for name, value in weights(former).items():
        assert torch.equal(weights(tmp_path)[name], value), name
    assert results["initial_weights"]["source"] == str(former)
    assert len(results["initial_weights"]["md5"]) == 8


def test_only_named_parts_are_replaced(former, tmp_path):
    run(tmp_path / "own", *FROZEN)
    run(tmp_path / "mixed", f"trainer.init_from={former}", "trainer.init_parts=[decoder]", *FROZEN)
    for name, value in weights(tmp_path / "mixed").items():
        source = former if name.startswith("decoder.") else tmp_path / "own"
        assert torch.allclose(value, weights(source)[name], atol=1e-20), name


def test_digest_tells_weights_apart(former, tmp_path):
    save_file({name: value + 1 for name, value in weights(former).items()}, tmp_path / "other.safetensors")
    save_file(dict(weights(former)), tmp_path / "same.safetensors")
    sources = {"run": former, "same": tmp_path / "same.safetensors", "other": tmp_path / "other.safetensors"}
    digests = {
        name: run(tmp_path / name, f"trainer.init_from={source}", *FROZEN)["initial_weights"]["md5"]
        for name, source in sources.items()
    }
    assert digests["run"] == digests["same"] != digests["other"]


def test_resumed_run_keeps_source_and_weights(former, tmp_path, monkeypatch):
    overrides = (f"trainer.init_from={former}", "trainer.max_epochs=2", "trainer.batch_size=100")
    whole = run(tmp_path / "whole", *overrides)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(5, patch)
        run(tmp_path / "parts", *overrides)
    parts = run(tmp_path / "parts", *overrides, "trainer.resume=auto")
    assert parts["initial_weights"] == whole["initial_weights"]
    found = weights(tmp_path / "parts")
    assert all(torch.equal(value, found[name]) for name, value in weights(tmp_path / "whole").items())


def test_own_initialization_leaves_no_source(former):
    assert json.loads((former / "results.json").read_text())["initial_weights"] is None


@pytest.mark.parametrize(
    ("change", "overrides", "message"),
    [
        (lambda w: dict(list(w.items())[1:]), (), "lacks"),
        (lambda w: w | {"more": torch.zeros(1)}, (), "has also more"),
        (lambda w: {name: value[:1] for name, value in w.items()}, (), "has other sizes of"),
        (lambda w: w, ("trainer.init_parts=[head]",), "the model has no part head: choose from"),
    ],
)
def test_what_does_not_fit_is_named(change, overrides, message, former, tmp_path):
    changed = change(dict(weights(former)))
    save_file({name: value.contiguous() for name, value in changed.items()}, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=message) as error:
        run(tmp_path / "run", f"trainer.init_from={tmp_path / 'w.safetensors'}", *overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "overrides", [("trainer.init_parts=[decoder]",), ("trainer.init_from=a", "trainer.init_parts=[]")]
)
def test_parts_need_a_source(overrides, tmp_path):
    with pytest.raises(ConfigError, match="init_parts = .*: set both, or init_parts=null"):
        run(tmp_path, *overrides)


def test_weights_that_are_not_finite_are_refused(former, tmp_path):
    save_file({name: value * torch.nan for name, value in weights(former).items()}, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="that are not finite"):
        run(tmp_path / "run", f"trainer.init_from={tmp_path / 'w.safetensors'}")


@pytest.mark.parametrize("source", ["gone", "text.safetensors"])
def test_what_is_no_source_is_refused(source, tmp_path):
    (tmp_path / "text.safetensors").write_text("text")
    with pytest.raises(ConfigError, match="trainer.init_from"):
        run(tmp_path / "run", f"trainer.init_from={tmp_path / source}")
