import pytest

from dgm_run.config.compose import conf_dir
from dgm_run.config.presets import _duration, presets, table
from dgm_run.config.published import KINDS
from tests.support.tiny import dgm_run

FOLDER = conf_dir() / "experiment"
QUANTITIES = {
    *("log_likelihood", "log_likelihood_conservative", "elbo", "kl", "bits_per_dim", "perplexity"),
    *("error", "error_svm_of_z", "error_nearest_neighbour", "parzen", "modes"),
}


def test_every_preset_is_listed_with_its_paper_and_its_numbers():
    found = {preset.name: preset for preset in presets(FOLDER)}
    assert len(found) == len(list(FOLDER.rglob("*.yaml")))
    one = found["kingma_2014/mnist_m1_m2_100"]
    assert (one.dataset, one.epochs) == ("mnist", 500)
    assert one.values == {"error": 3.33, "error_nearest_neighbour": 25.81}
    text = table(FOLDER)
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
def test_a_duration_is_told_in_the_unit_that_fits(hours, told):
    assert _duration(hours) == f"about {told}"


def test_the_command_lists_them(tmp_path):
    done = dgm_run("--experiments", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == table(FOLDER)
