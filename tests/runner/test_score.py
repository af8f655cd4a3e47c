"""Tables and summaries of scores."""

import csv

import pytest
import torch

from dgm_run.runner.score import Scores, summarize_scores, write_scores
from dgm_run.runner.trained_model import LogLikelihoods


def make_scores(ess, k, **changes):
    values = torch.arange(-1.0, -1.0 - len(ess), -1.0, dtype=torch.float64)
    diagnostics = {"ess": torch.tensor(ess), "pareto_k": torch.tensor(k)}
    found = LogLikelihoods(
        values, torch.full_like(values, 0.1), "estimate", "importance_sampling", {"num_samples": 9}, diagnostics, None
    )
    return Scores(["a.npy"] * len(ess), [str(i) for i in range(len(ess))], found._replace(**changes))


@pytest.mark.parametrize(
    ("ess", "k", "flag"),
    [(1.5, 0.2, "single draw"), (1.5, 0.9, "single draw"), (5.0, 0.71, "heavy tails"), (5.0, 0.69, "")],
)
def test_doubtful_numbers_are_flagged(ess, k, flag):
    assert make_scores([ess], [k]).flags == [flag]


def test_one_sample_is_no_single_draw():
    assert make_scores([1.0], [0.0], settings={"num_samples": 1}).flags == [""]


def test_exact_values_have_no_flags():
    scores = make_scores([5.0, 5.0], [0.0, 0.0], kind="exact", diagnostics={}, settings={})
    assert scores.flags == ["", ""]
    assert list(scores.columns) == ["file", "example", "log_likelihood", "stderr", "flag"]


def test_table_has_a_row_for_each_example(tmp_path):
    files = write_scores(make_scores([5.0, 1.0], [0.1, 0.2]), tmp_path / "new" / "scores.csv")
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["log_likelihood"] for row in rows] == ["-1.0", "-2.0"]
    assert [row["flag"] for row in rows] == ["", "single draw"]


def test_parquet_equals_the_csv(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    scores = make_scores([5.0, 1.0], [0.1, 0.2])
    files = write_scores(scores, tmp_path / "scores.csv")
    assert parquet.read_table(files[1]).to_pydict() == scores.columns


def test_summary_names_the_least_likely():
    lines = summarize_scores(make_scores([5.0, 1.0, 3.0, 3.0], [0.1] * 4, warning="beware"))
    assert lines[0] == (
        "log p(x) of 4 examples: mean -2.500 ± 0.645 nats (estimate, importance_sampling, num_samples=9)"
    )
    assert lines[1].startswith("1 examples are flagged")
    assert lines[2] == "least likely: a.npy 3, -4.000 nats"
    assert lines[-1] == "warning: beware"
