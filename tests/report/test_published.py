from dgm_run.report.published import published
from dgm_run.report.runs import collect
from tests.report.folders import config, estimate, write

PAPER = {"values": {"log_likelihood": -84.5, "elbo": -86.5}, "source": "A paper, https://example.org, Table 1"}


def begun_with(folder, *overrides):
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {each}\n" for each in overrides))
    return folder


def test_the_numbers_of_a_preset_stand_beside_those_of_its_paper(tmp_path):
    rows = [estimate(-85.0, stderr=0.25), estimate(-90.0, "elbo", kind="lower_bound"), estimate(9.0, "kl")]
    begun_with(write(tmp_path / "a", config(), rows, published=PAPER), "+experiment=paper_2016/mnist", "seed=1")
    write(tmp_path / "b", config(), rows)
    text = published(collect(tmp_path))
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| paper")]
    run, cost = ["paper_2016/mnist", PAPER["source"], "digits, dynamic"], ["3", "0.0 min"]
    by = "importance_sampling (num_samples=5)"
    assert [[cell.strip() for cell in line] for line in lines] == [
        [*run, "elbo", "-86.5", "-90.000 ± 0.100", f"lower bound by {by}", *cost],
        [*run, "log_likelihood", "-84.5", "-85.000 ± 0.250", f"estimate by {by}", *cost],
    ]


def test_a_collapsed_run_is_called_so(tmp_path):
    rows = [estimate(-85.0), estimate(0.001, "kl", warning="the posterior has collapsed, z carries nothing")]
    write(tmp_path / "a", config(), rows, published=PAPER)
    assert "| -85.000 ± 0.100 (collapsed) |" in published(collect(tmp_path))


def test_without_presets_there_is_no_table(tmp_path):
    write(tmp_path / "a", config(), [estimate(-1.0)])
    write(tmp_path / "b", config(), [estimate(-1.0)], published={"values": {"error": 1.0}, "source": "x"})
    assert published(collect(tmp_path)) == ""
