import re
import shutil
import subprocess
from pathlib import Path

import pytest

import dgm_run as package
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.presets import _format_duration, format_presets, list_presets, read_presets
from dgm_run.config.published import KINDS
from tests.support.tiny import dgm_run

FOLDER = conf_dir() / "experiment"
QUANTITIES = {
    *("log_likelihood", "log_likelihood_conservative", "elbo", "kl", "bits_per_dim", "perplexity"),
    *("error", "error_svm_of_z", "error_nearest_neighbour", "parzen", "modes"),
}


def test_every_preset_is_listed_with_its_paper_and_its_numbers():
    found = {preset.name: preset for preset in read_presets(FOLDER)}
    assert len(found) == len(list(FOLDER.glob("*/*.yaml")))
    one = found["kingma_2014/mnist_m1_m2_100"]
    assert (one.dataset, one.epochs) == ("mnist", 500)
    assert one.values == {"error": 3.33, "error_nearest_neighbour": 25.81}
    text = format_presets(FOLDER)
    assert "Kingma et al. 2014, https://arxiv.org/abs/1406.5298\n" in text
    assert "\nscikit-learn, https://scikit-learn.org (another program's run)\n" in text
    for preset in found.values():
        assert preset.kind in KINDS
        assert f"+experiment={preset.name} " in text
        assert preset.values.keys() <= QUANTITIES


@pytest.mark.parametrize(
    ("hours", "told"),
    [(0.02, "1 min"), (1.5, "90 min"), (3.14, "3 hours"), (84, "80 hours"), (240, "10 days"), (5000, "200 days")],
)
def test_duration_reported_in_unit_that_fits(hours, told):
    assert _format_duration(hours) == f"about {told}"


def test_the_command_lists_them(tmp_path):
    done = dgm_run("--experiments", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == format_presets(FOLDER)


def test_rows_stand_on_their_bases(tmp_path):
    files = {
        "a/base/below": "defaults:\n  - override /dataset: mnist\npublished: {kind: paper}\ntrainer: {max_epochs: 7}\n",
        "a/base/above": "defaults: [/experiment/a/base/below]\npublished: {values: {elbo: -1.0}, hours: 2}\n",
        "a/row": "defaults: [/experiment/a/base/above]\npublished: {source: A paper, hours: 3}\n",
        "b/row": "defaults: [/experiment/a/base/above, override /dataset: omniglot]\npublished: {source: B}\n",
    }
    for name, text in files.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert [*read_presets(tmp_path)] == [
        ("a/row", "mnist", 7, "paper", {"elbo": -1.0}, "A paper", 3),
        ("b/row", "omniglot", 7, "paper", {"elbo": -1.0}, "B", 2),
    ]


def test_bases_serve_several_files():
    bases = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in FOLDER.glob("*/base/*.yaml")}
    used = [name for path in FOLDER.rglob("*.yaml") for name in re.findall(r"- /experiment/(\S+)", path.read_text())]
    assert set(used) == set(bases)
    assert all(used.count(name) > 1 for name in bases)
    assert not set(bases) & set(list_presets(FOLDER))
    for path in bases.values():
        header, described = path.read_text().splitlines()[:2]
        assert header == "# @package _global_"
        assert described.startswith("# ")


def test_choices_of_rows_override_those_of_bases():
    row = package.compose("+experiment=iwae_2016/mnist_iwae_k5_2layers")
    assert row.model._target_.endswith("DLGM")  # of a base
    assert row.model.upper_dim == 50
    assert row.dataset.source.num_valid == 400  # of another base
    assert row.objective.num_samples == 5
    row = package.compose("+experiment=sylvester_2018/caltech101_iaf")
    assert row.estimators.importance_sampling.num_samples == 2000  # 5000 in the base


RESULTS = conf_dir() / "results.txt"


def test_results_are_presets_of_known_cost():
    names = [line for line in RESULTS.read_text().splitlines() if line and not line.startswith("#")]
    found = {preset.name: preset for preset in read_presets(FOLDER)}
    assert len(names) == len(set(names)) > 20
    assert sum(found[name].hours for name in names) < 4


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_make_runs_the_list_of_results():
    root = Path(__file__).parents[2]
    shown = subprocess.run(
        ["make", "-n", "results"], cwd=root, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    (chosen,) = re.findall(r"\+experiment=(\S+)", shown)
    assert chosen.split(",") == [line for line in RESULTS.read_text().splitlines() if line and line[0] != "#"]
