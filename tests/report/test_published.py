from dgm_run.report.published import published
from dgm_run.report.runs import collect
from tests.report.folders import config, estimate, write

PAPER = {"quantity": "log_likelihood", "value": -84.5, "source": "A paper, https://example.org, Table 1"}


def begun_with(folder, *overrides):
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {each}\n" for each in overrides))
    return folder


def test_the_number_of_a_preset_stands_beside_that_of_its_paper(tmp_path):
    rows = [estimate(-85.0, stderr=0.25), estimate(-90.0, "elbo", kind="lower_bound")]
    begun_with(write(tmp_path / "a", config(), rows, published=PAPER), "+experiment=paper_2016/mnist", "seed=1")
    write(tmp_path / "b", config(), rows)
    text = published(collect(tmp_path))
    (row,) = [line for line in text.splitlines() if line.startswith("| paper")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("paper_2016/mnist", PAPER["source"], "digits, dynamic", "log_likelihood", "-84.5", "-85.000 ± 0.250"),
        *("estimate, importance_sampling (num_samples=5)", "3", "0.0 min"),
    ]


def test_a_collapsed_run_is_called_so(tmp_path):
    rows = [estimate(-85.0), estimate(0.001, "kl", warning="the posterior has collapsed, z carries nothing")]
    write(tmp_path / "a", config(), rows, published=PAPER)
    assert "| -85.000 ± 0.100 (collapsed) |" in published(collect(tmp_path))


def test_without_presets_there_is_no_table(tmp_path):
    write(tmp_path / "a", config(), [estimate(-1.0)])
    write(tmp_path / "b", config(), [estimate(-1.0)], published={"quantity": "error", "value": 1.0, "source": "x"})
    assert published(collect(tmp_path)) == ""
