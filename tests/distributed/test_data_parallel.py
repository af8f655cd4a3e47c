"""Two processes find what one finds in as many parts; in double precision, so that rounding shows little."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import dgm_run
from dgm_run import rng
from dgm_run.distributed import process_group
from dgm_run.distributed.data_parallel import DataParallel
from dgm_run.distributed.process_group import WorkerDied
from dgm_run.errors import ConfigError
from dgm_run.recording.checkpoint import Checkpoints
from tests.support.tiny import SHORT, TINY, TINY_DENSITY, TINY_ENERGY, TINY_LABELLED, TINY_LAYERS, command, metrics
from tests.support.workers import open_store, run_together, start_workers

RAGGED = (  # the last of the 1257 examples is a batch of its own; few are left to estimate with
    *("trainer.batch_size=314", "trainer.precision=fp64"),
    *("dataset.source.num_valid=480", "dataset.source.num_test=60"),
)
OF_EXAMPLES = (  # all that look at one example at a time, in several blocks each
    "estimators=[importance_sampling,imputation,out_of_distribution]",
    "estimators.importance_sampling.num_samples=2",
    "estimators.imputation.num_draws=2",
    *(f"estimators.imputation.methods.{name}" for name in ("pseudo_gibbs.num_steps=4", "pseudo_gibbs.burn_in=1")),
    *(f"~estimators.imputation.methods.{name}" for name in ("exact", "gibbs", "metropolis_within_gibbs")),
    "estimators.imputation.methods.importance_sampling.num_samples=4",
    "estimators.out_of_distribution.num_samples=2",
    "estimators.out_of_distribution.max_batch_rows=25",
)
MODELS = {
    "vae": (*TINY[:-1], *OF_EXAMPLES, "trainer.max_epochs=2", "trainer.clip_norm=1.0", "trainer.ema_decay=0.9"),
    "density_network": (
        *TINY_DENSITY,
        "estimators.prior_sampling.num_samples=700",
        "estimators.prior_sampling.max_batch_rows=100",
    ),
    "gan": ("model=gan", *SHORT, "estimators=[]", "objective.r1=1.0", "trainer.num_critic_steps=2"),
    "batch_norm": (
        *("encoder=conv", "encoder.batch_norm=true", "encoder.channels=[4]", "encoder.kernel_sizes=[3]"),
        *("encoder.strides=[1]", "decoder.hidden_dims=[8]", "model.latent_dim=2", *SHORT),
        "estimators.importance_sampling.num_samples=2",
    ),
    "rbm": (*TINY_ENERGY, "trainer.max_epochs=2", "objective.centering_rate=0.01"),
    "dbn": ("model=dbn", *TINY_LAYERS, "objective.partition.fallback.num_temperatures=10"),
    "m2": TINY_LABELLED,
}
FAST = ("vae", "gan", "batch_norm", "dbn")
"""Models of the fast tests: estimators of examples, two networks, statistics of batches, layers with chains."""


def train(folder, *overrides):
    """Trains a run and reads the files that it leaves."""
    dgm_run.run(dgm_run.compose(*overrides, "trainer.worker_timeout_seconds=60"), folder)
    return left_by(folder)


def left_by(folder):
    """The weights and the state at the end, the metrics, and the estimates."""
    weights, state, _ = Checkpoints(folder / "checkpoints").load("last")
    values = [(row["step"], row["name"], row["value"]) for row in metrics(folder)]
    rows = json.loads((folder / "results.json").read_text())["estimates"]
    return weights, state, values, {f"{row['quantity']} {row['estimator']}": row["value"] for row in rows}


def in_turn(runs):
    """Runs by their folders, each by all the processes that were started."""
    for folder, overrides in runs.items():
        dgm_run.run(dgm_run.compose(*overrides), folder)


def same(one, other):
    for left, right in zip(one[:1], other[:1], strict=True):
        assert left.keys() == right.keys()
        for name, value in left.items():
            torch.testing.assert_close(
                value, right[name], rtol=1e-8, atol=1e-10, msg=lambda text, n=name: f"{n}: {text}"
            )
    assert [row[:2] for row in one[2]] == [row[:2] for row in other[2]]
    assert [row[2] for row in one[2]] == pytest.approx([row[2] for row in other[2]], rel=1e-7, abs=1e-9, nan_ok=True)
    assert one[3] == pytest.approx(other[3], rel=1e-7, nan_ok=True)


@pytest.fixture(scope="module")
def by_two(request, tmp_path_factory):
    """Folders of runs by two processes, which are started once for all models of the tests chosen."""
    tests = [item for item in request.session.items if "by_two" in getattr(item, "fixturenames", ())]
    folders = {test.callspec.params["model"]: tmp_path_factory.mktemp("by") / "two" for test in tests}
    more = (*RAGGED, "trainer.devices=2", "trainer.worker_timeout_seconds=60")
    runs = {str(folder): (*MODELS[model], *more) for model, folder in folders.items()}
    assert run_together(in_turn, runs) == [None, None]
    return folders


@pytest.mark.xdist_group("by two")
@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=() if model in FAST else pytest.mark.slow) for model in MODELS]
)
def test_two_processes_find_what_one_finds_in_two_parts(model, by_two, tmp_path):
    overrides = (*MODELS[model], *RAGGED)
    one = train(tmp_path / "one", *overrides, "trainer.micro_batches=2")
    same(one, left_by(by_two[model]))
    alone = [each for each in overrides if not each.lstrip("~").startswith("estimators")]
    whole = train(tmp_path / "whole", *alone, "estimators=[]")
    assert any(not torch.equal(value, whole[0][name]) for name, value in one[0].items())  # parts have their own noise


def train_together(folder, *overrides):
    """Trains a run by processes that are forked, where the run itself would start new ones."""
    assert run_together(in_turn, {str(folder): overrides}) == [None, None]


@pytest.mark.parametrize(
    "train_by_two", [train_together, pytest.param(train, marks=pytest.mark.slow)], ids=["forked", "started"]
)
def test_a_run_goes_on_with_another_number_of_processes(train_by_two, tmp_path):
    overrides = (*MODELS["rbm"], *RAGGED, "schedule=constant", "trainer.eval_every=1", "trainer.micro_batches=4")
    whole = train(tmp_path / "whole", *overrides, "trainer.max_epochs=4")
    train_by_two(tmp_path / "resumed", *overrides, "trainer.max_epochs=2", "trainer.devices=2")
    again = ("trainer.max_epochs=4", "trainer.resume=auto")
    resumed = train(tmp_path / "resumed", *overrides, *again)
    same(whole, resumed)
    assert len(whole[1]["update"]["objective"]) == 4
    for number, state in whole[1]["update"]["objective"].items():
        assert torch.equal(state["chains"], resumed[1]["update"]["objective"][number]["chains"])
    chains = [state["chains"] for state in whole[1]["update"]["objective"].values()]
    assert not torch.equal(chains[0], chains[1])


def test_gradient_of_parts_is_that_of_batch():
    torch.manual_seed(0)
    x, model = torch.randn(10, 3, dtype=torch.float64), nn.Linear(3, 1).double()

    def compute_loss(index, number):
        loss = model(x[index]).square().mean()
        return loss, {"twice": 2 * loss}

    index = torch.randperm(10)[:7]
    compute_loss(index, 0)[0].backward()
    direct = model.weight.grad.clone()
    for num_parts in (1, 2, 3, 9):
        model.zero_grad()
        found = DataParallel(model, num_parts, 0, 1.0).backward(compute_loss, index, "step", 0)
        torch.testing.assert_close(model.weight.grad, direct)
        assert found["loss"].item() == pytest.approx(model(x[index]).square().mean().item())
        assert found["twice"].item() == pytest.approx(2 * found["loss"].item())


def test_each_part_has_its_random_numbers():
    data_parallel = DataParallel(nn.Linear(1, 1), 2, 0, 1.0)
    seen = []

    def compute_loss(index, number):
        seen.append(torch.rand(1).item())
        return data_parallel.loss_module.model.weight.sum(), {}

    for step in range(3):
        data_parallel.backward(compute_loss, torch.arange(4), "step", step)
    data_parallel.backward(compute_loss, torch.arange(4), "another", 0)
    assert len(set(seen)) == 8
    rng.reseed(0, "step", 2 * 2 + 1)
    assert torch.rand(1).item() == seen[5]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=2", "trainer.micro_batches=3"], "micro_batches = 3 parts cannot be shared by devices = 2"),
        (["trainer.devices=0"], "devices = 0 must be at least 1"),
        (["trainer.micro_batches=600"], "micro_batches = 600 exceeds batch_size = 500"),
        (["trainer.devices=2", "trainer.device=cuda:0"], "2 processes cannot share cuda:0: use auto or cuda"),
    ],
)
def test_parts_that_cannot_be_shared_refused(overrides, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        dgm_run.run(dgm_run.compose(*TINY, *overrides), tmp_path)


def test_em_is_of_one_piece(tmp_path):
    with pytest.raises(ConfigError, match=r"takes all examples at once: set both to 1"):
        dgm_run.run(dgm_run.compose("model=ppca", "trainer=em", "trainer.devices=2"), tmp_path)


LONGER = (
    *TINY,
    "trainer.batch_size=100",
    "trainer.max_epochs=10",
    "trainer.checkpoint_seconds=0.05",
    "trainer.devices=2",
)


def workers(pid):
    """The processes that were started to train together, in their order."""
    found = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for each in found if "dgm_run.distributed.launch" in Path(f"/proc/{each}/cmdline").read_text()]


def start(folder, *overrides):
    """The command, once its first checkpoint is written."""
    process = subprocess.Popen(
        command(*overrides, f"hydra.run.dir={folder}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    wait_for_checkpoint(folder)
    return process


def wait_for_checkpoint(folder):
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last").exists() and time.monotonic() < deadline:
        time.sleep(0.02)


def read_outcome(folder):
    """Reads the metrics and estimates of a run, which must not depend on interruptions."""
    estimates = json.loads((folder / "results.json").read_text())["estimates"]
    return metrics(folder), [{name: row[name] for name in ("quantity", "value", "stderr")} for row in estimates]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Outcome of a run without interruptions."""
    folder = tmp_path_factory.mktemp("alone")
    dgm_run.run(dgm_run.compose(*LONGER), folder)
    return read_outcome(folder)


FEW_EPOCHS = (*LONGER, "trainer.max_epochs=4", "trainer.resume=auto")


def go_on(folder):
    """Trains in a worker, which leaves at once when it loses another."""
    process_group.LOST_PEER_WAIT = 0.1
    dgm_run.run(dgm_run.compose(*FEW_EPOCHS), folder)


def test_restarted_workers_end_as_one(tmp_path):
    """Two attempts, as torchrun makes them after a process was killed."""
    store, folder = open_store(), tmp_path / "killed"
    with start_workers(store, 0, go_on, str(folder)) as (main, second):
        wait_for_checkpoint(folder)
        second.process.kill()
        assert second.wait() == -signal.SIGKILL
        assert isinstance(main.wait(), WorkerDied)
    assert not (folder / "results.json").exists()
    with start_workers(store, 1, go_on, str(folder)) as workers:
        assert [worker.wait() for worker in workers] == [None, None]
    assert run_together(go_on, str(tmp_path / "whole")) == [None, None]
    assert read_outcome(folder) == read_outcome(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.xdist_group("undisturbed")
def test_killed_main_process_is_restarted(alone, tmp_path):
    process = start(tmp_path / "killed", *LONGER)
    os.kill(workers(process.pid)[0], signal.SIGKILL)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0, text
    assert "all processes restart from the last checkpoint (3 restarts left)" in text
    assert "Traceback" not in text
    assert "Warning" not in text
    assert read_outcome(tmp_path / "killed") == alone


@pytest.mark.slow
@pytest.mark.xdist_group("undisturbed")
def test_a_run_that_is_stopped_goes_on(alone, tmp_path):
    process = start(tmp_path / "stopped", *LONGER)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=100)
    assert process.returncode == 143, text
    assert f"to resume: dgm-run trainer.resume={tmp_path / 'stopped'}" in text.splitlines()[-1]
    assert not (tmp_path / "stopped" / "results.json").exists()
    dgm_run.run(dgm_run.compose(*LONGER, "trainer.resume=auto"), tmp_path / "stopped")
    assert read_outcome(tmp_path / "stopped") == alone


@pytest.mark.slow
def test_a_signal_before_the_processes_have_begun_is_not_lost(tmp_path):
    process = subprocess.Popen(
        command(*LONGER, f"hydra.run.dir={tmp_path / 'early'}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while len(workers(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)  # they are importing torch
    text, _ = process.communicate(timeout=100)
    assert process.returncode == 143, text
    assert not (tmp_path / "early" / "results.json").exists()


@pytest.mark.slow
def test_processes_do_not_outlive_the_command(tmp_path):
    process = start(tmp_path / "killed", *LONGER)
    left = workers(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def torchrun(folder, *arguments, processes=2, endpoint="localhost:0"):
    """The agent of one machine."""
    options = (f"--nproc-per-node={processes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}")
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *options, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
@pytest.mark.xdist_group("undisturbed")
def test_torchrun_brings_all_back_after_the_second_is_killed(alone, tmp_path):
    overrides = ("-m", "dgm_run", *LONGER, "trainer.resume=auto", "hydra.run.dir=killed")
    agent = torchrun(tmp_path, "--max-restarts=2", *overrides)
    wait_for_checkpoint(tmp_path / "killed")
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    text, _ = agent.communicate(timeout=200)
    assert agent.returncode == 0, text
    assert read_outcome(tmp_path / "killed") == alone


@pytest.mark.slow
def test_several_machines_are_started_by_torchrun(tmp_path):
    """Two agents, as on two machines, with a process each."""
    endpoint = f"localhost:{free_port()}"
    overrides = ("-m", "dgm_run", *TINY, *RAGGED, "trainer.devices=2", "hydra.run.dir=together")
    agents = [
        torchrun(tmp_path, "--nnodes=2", "--max-restarts=0", *overrides, processes=1, endpoint=endpoint)
        for _ in range(2)
    ]
    texts = [agent.communicate(timeout=200)[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], texts
    assert sum("Estimates per example" in text for text in texts) == 1
    train(tmp_path / "one", *TINY, *RAGGED, "trainer.micro_batches=2")
    values = [[row["value"] for row in metrics(tmp_path / name)] for name in ("together", "one")]
    assert values[0] == pytest.approx(values[1], rel=1e-7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "together"]
