"""TensorBoard's own server shows the settings and numbers of a run on its HParams page."""

import json
import re
import subprocess
import sys
import urllib.request

import pytest

import dgm_run
from dgm_run.recording.hparams import select_hparams
from dgm_run.runner.run_folder import resolve_config
from tests.support.tiny import TINY


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Serves two runs that differ by their priors, and yields the server's address."""
    folder = tmp_path_factory.mktemp("outputs")
    for prior in ("standard", "mixture"):
        dgm_run.run(dgm_run.compose(*TINY, f"prior={prior}"), folder / prior)
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port=0", "--load_fast=false"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in server.stderr:
            if found := re.search(r"http://localhost:\d+", line):
                yield found[0]
                break
    finally:
        server.terminate()
        server.communicate()


def ask_server(address, question, **body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(
        f"{address}/data/plugin/{question}", data, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_hparams_page_compares_runs_by_what_a_user_chooses(address):
    found = ask_server(address, "hparams/experiment", experimentName="", hparamsLimit=0)
    names = {each["name"] for each in found["hparamInfos"]}
    assert {"prior", "model", "model.latent_dim", "encoder.hidden_dims", "optimizer", "optimizer.lr", "seed"} <= names
    assert {"prior.num_components", "dataset.name", "dataset.binarize", "trainer.batch_size"} <= names
    assert not [name for name in names if "_target_" in name or "_partial_" in name or "trainer.optimizer" in name]
    metrics = {each["name"]["tag"] for each in found["metricInfos"]}
    assert {"test/log_likelihood", "test/elbo", "valid/elbo", "train/loss"} <= metrics

    states = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    groups = ask_server(
        address,
        "hparams/session_groups",
        **{"experimentName": "", "allowedStatuses": states, "colParams": [], "startIndex": 0, "sliceSize": 10},
    )["sessionGroups"]
    assert {group["hparams"]["prior"] for group in groups} == {"StandardPrior", "MixturePrior"}
    assert {session["status"] for group in groups for session in group["sessions"]} == {"STATUS_SUCCESS"}
    for group in groups:
        values = {metric["name"]["tag"]: metric["value"] for metric in group["metricValues"]}
        assert values["test/log_likelihood"] < 0


def test_columns_have_the_names_that_a_user_sets_and_no_machine():
    cfg = dgm_run.compose("prior=vampprior", "prior.num_components=7", "trainer.threads=3")
    found = select_hparams(resolve_config(cfg))
    assert found["prior"] == "VampPrior"
    assert found["prior.num_components"] == 7
    assert found["model.latent_dim"] == 40
    assert not [name for name in found if name.endswith("latent_dim") and name != "model.latent_dim"]
    assert found["encoder.hidden_dims"] == "[300, 300]"
    assert not [name for name in found if "threads" in name or "data_dir" in name or "$" in str(found[name])]
