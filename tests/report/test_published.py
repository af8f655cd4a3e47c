import json

import pytest

from dgm_run.report.published import CONSERVATIVE, render_published
from dgm_run.report.runs import collect_runs
from tests.support.folders import config, estimate, write

PAPER = {
    "kind": "paper",
    "values": {"log_likelihood": -84.5, "elbo": -86.5},
    "source": "A paper, https://example.org, Table 1",
}
HEAD = ("preset", "published", "ours", "verdict", "how", "training")
BY_AIS = {"estimator": "ais", "settings": {"num_chains": 10}}


def begun_with(folder, *overrides):
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {each}\n" for each in overrides))
    return folder


def table(folder):
    """The rows as dicts by short heads, and the footnotes by their marks."""
    lines = render_published(collect_runs(folder)).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    cells = [row for row in cells if row[0] not in ("preset", "---")]
    notes = dict(line.split(": ", 1) for line in lines if line.startswith("[^"))
    return [dict(zip(HEAD, row, strict=True)) for row in cells], notes


def test_runs_stand_beside_their_targets(tmp_path):
    rows = [estimate(-85.0, stderr=0.25), estimate(-90.0, "elbo", kind="lower_bound"), estimate(9.0, "kl")]
    begun_with(write(tmp_path / "a", config(), rows, published=PAPER), "+experiment=paper_2016/mnist", "seed=1")
    write(tmp_path / "b", config(), rows)
    elbo, log_likelihood = table(tmp_path)[0]
    by = "importance_sampling (num_samples=5)"
    assert elbo == {
        "preset": "paper_2016/mnist: Table 1[^1]", "published": "elbo -86.50", "ours": "-90.00 ± 0.10",
        "verdict": "worse", "how": f"lower bound by {by}", "training": "3 epochs, 0.0 min, 1,000 examples/s",
    }  # fmt: skip
    assert log_likelihood["ours"] == "-85.00 ± 0.25"
    assert log_likelihood["verdict"] == "reproduced"
    assert table(tmp_path)[1] == {"[^1]": "digits: dynamic"}
    text = render_published(collect_runs(tmp_path))
    assert "## A paper\n\n<https://example.org>\n\nThe published number is a paper's number.\n" in text
    assert "- a paper's number: 2 rows, 1 worse, 1 reproduced\n" in text


@pytest.mark.parametrize(
    ("target", "shown", "ours"),
    [(3.0, "3.00", "3.14 ± 0.01"), (3.25, "3.25", "3.14 ± 0.01"), (-2.7362, "-2.7362", "3.1416 ± 0.0123")],
)
def test_rows_have_the_decimals_of_targets(tmp_path, target, shown, ours):
    rows = [estimate(3.14159, stderr=0.01234)]
    write(tmp_path / "a", config(), rows, published=PAPER | {"values": {"log_likelihood": target}})
    ((row,), _) = table(tmp_path)
    assert (row["published"], row["ours"]) == (f"log_likelihood {shown}", ours)


@pytest.mark.parametrize(
    ("kind", "words", "verdict"),
    [
        ("paper", "a paper's number", "worse"),
        ("program", "another program's run", "worse"),
        ("closed_form", "an exact value", "worse"),
        ("bound", "a bound that no model passes", "a bound"),
    ],
)
def test_each_kind_gets_its_verdict(tmp_path, kind, words, verdict):
    write(tmp_path / "a", config(), [estimate(-86.0)], published=PAPER | {"kind": kind})
    ((row,), _) = table(tmp_path)
    assert row["verdict"] == verdict
    assert f"The published number is {words}." in render_published(collect_runs(tmp_path))


def test_conservative_side_stands_beside_ais(tmp_path):
    rows = [estimate(-84.4, **BY_AIS), estimate(-84.8, CONSERVATIVE, estimator="raise", stderr=0.3)]
    write(tmp_path / "a", config(), rows, published=PAPER)
    rows = [estimate(-82.0, **BY_AIS), estimate(-88.0, CONSERVATIVE, estimator="raise", stderr=0.3)]
    write(tmp_path / "b", config(), rows, published=PAPER)
    rows = [estimate(-84.4, estimator="exact", settings={"x": 1}), rows[1]]
    write(tmp_path / "c", config(), rows, published=PAPER)
    assert [(row["ours"], row["verdict"]) for row in table(tmp_path)[0]] == [
        ("-84.40 ± 0.10; conservative -84.80 ± 0.30", "reproduced"),
        ("-82.00 ± 0.10; conservative -88.00 ± 0.30", "better; worse by the conservative side"),
        ("-84.40 ± 0.10", "reproduced"),
    ]


def test_conservative_side_shares_evaluation(tmp_path):
    rows = []
    for seed in (0, 1):
        ais = BY_AIS | {"settings": {"seed": seed}}
        rows += [estimate(-84.4, **ais), estimate(-85.0 - seed, CONSERVATIVE, estimator="raise", stderr=0.3)]
    write(tmp_path / "a", config(), rows, published=PAPER)
    sides = [row["ours"].partition("; conservative ")[2] for row in table(tmp_path)[0]]
    assert sides == ["-85.00 ± 0.30", "-86.00 ± 0.30"]


def test_warnings_mark_the_verdict(tmp_path):
    low = "log Z rests on 1.2 of 100 chains | take more"
    rows = [
        estimate(-82.0, warning=low, **BY_AIS),
        estimate(-84.8, CONSERVATIVE, estimator="raise", warning="it lies above"),
        estimate(-84.8, "elbo", estimator="monte_carlo, ais"),
        estimate(3.0, "error", estimator="baseline", warning="few labels"),
    ]
    begun_with(write(tmp_path / "a", config(), rows, published=PAPER), "+experiment=p")
    (elbo, log_likelihood), notes = table(tmp_path)
    assert log_likelihood["verdict"] == "better; reproduced by the conservative side, with a warning[^2] [^3]"
    assert elbo["verdict"] == "better, with a warning[^2] [^3]"
    assert notes["[^2]"] == "p, log_likelihood: log Z rests on 1.2 of 100 chains \\| take more"
    assert notes["[^3]"] == f"p, {CONSERVATIVE}: it lies above"
    assert "few labels" not in "".join(notes.values())


def test_a_collapse_concerns_all_numbers(tmp_path):
    rows = [estimate(-85.0), estimate(0.001, "kl", estimator="x", warning="the posterior has collapsed")]
    write(tmp_path / "a", config(), rows, published=PAPER)
    ((row,), notes) = table(tmp_path)
    assert row["verdict"] == "reproduced, with a warning[^2]"
    assert notes["[^2]"] == "a, kl: the posterior has collapsed"


def test_without_presets_there_is_no_table(tmp_path):
    write(tmp_path / "a", config(), [estimate(-1.0)])
    write(tmp_path / "b", config(), [estimate(-1.0)], published={"values": {"error": 1.0}, "source": "x"})
    assert render_published(collect_runs(tmp_path)) == ""


def test_other_data_have_no_published_number(tmp_path):
    other = {"name": "kmnist", "preprocessing": "dynamic", "settings": {}}
    rows = [estimate(-3.0), estimate(-9.0, dataset=other, warning="worse")]
    paper = {"values": {"log_likelihood": -3.0}, "source": "A paper", "kind": "paper"}
    write(tmp_path, config(), rows, published=paper)
    (run,) = collect_runs(tmp_path)
    text = render_published([run])
    assert "-3.00 ± 0.10" in text
    assert "-9.00" not in text
    assert "worse" not in text.splitlines()[-1]
    assert run.warnings == [("log_likelihood on kmnist", "worse")]


def test_runs_that_differ_by_seeds_share_a_row(tmp_path):
    """Four splits: the mean 3.0, the variance 2/3, so a standard error of 0.41."""
    for i, value in enumerate((-87.0, -86.0, -86.0, -85.0)):
        node = config(dataset__source={"split_seed": i}, dataset__noise_seed=i)
        folder = write(tmp_path / str(i), node, [estimate(value, stderr=3.0)], published=PAPER)
        begun_with(folder, "+experiment=paper_2016/mnist", f"dataset.source.split_seed={i}")
    write(tmp_path / "other", config(), [estimate(-84.0)], published=PAPER)  # of no preset
    rows, _ = table(tmp_path)
    assert [(row["ours"], row["verdict"]) for row in rows] == [
        ("-84.00 ± 0.10", "reproduced"),
        ("-86.00 ± 0.41 (4 runs, standard deviation 0.82)", "worse"),
    ]


def test_changed_presets_have_rows_of_their_own(tmp_path):
    for i, lr in enumerate((1e-3, 1e-2)):
        changed = PAPER | {"source": PAPER["source"] + (f"; changed: optimizer.lr={lr}" if i else "")}
        node = config() | {"optimizer": {"lr": lr}}
        begun_with(write(tmp_path / str(i), node, [estimate(-84.0 - i)], published=changed), "+experiment=p")
    rows, _ = table(tmp_path)
    assert [(row["preset"], row["ours"]) for row in rows] == [
        ("p: Table 1[^1]", "-84.00 ± 0.10"),
        ("p: Table 1; changed: optimizer.lr=0.01[^1]", "-85.00 ± 0.10"),
    ]


def test_errors_and_notes_of_a_preset_are_shown(tmp_path):
    stated = PAPER | {"stderr": {"log_likelihood": 0.4}, "note": "our initial weights differ"}
    write(tmp_path / "a", config(), [estimate(-85.3, stderr=0.1)], published=stated)
    ((row,), notes) = table(tmp_path)
    assert (row["published"], row["verdict"]) == ("log_likelihood -84.50 ± 0.40", "reproduced[^2]")
    assert notes["[^2]"] == "a: our initial weights differ"


def test_densities_of_grey_values_are_judged_in_bits(tmp_path):
    paper = PAPER | {"values": {"log_likelihood": 1322.0}}
    for name, num_levels in (("grey", 256), ("real", None)):
        node = config(dataset__shape=[1, 28, 20], dataset__dequantize=True, dataset__num_levels=num_levels)
        write(tmp_path / name, node, [estimate(1315.0)], published=paper)
    assert {row["preset"][:4]: row["verdict"] for row in table(tmp_path)[0]} == {"grey": "reproduced", "real": "worse"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"device": "cpu", "processor": "Intel", "threads": 2, "torch": "2.14"}, "Intel, threads: 2, torch 2.14"),
        ({"device": "H100", "processor": "Intel", "threads": 2, "torch": "2.14"}, "H100, torch 2.14"),
    ],
)
def test_costs_name_the_machine(tmp_path, environment, expected):
    folder = write(tmp_path / "a", config(), [estimate(-84.0)], published=PAPER)
    results = json.loads((folder / "results.json").read_text())
    training = results["training"] | {"seconds": 7200.0}
    (folder / "results.json").write_text(json.dumps(results | {"environment": environment, "training": training}))
    ((row,), notes) = table(tmp_path)
    assert row["training"] == "3 epochs, 2.0 h, 1,000 examples/s[^2]"
    assert notes["[^2]"] == expected
