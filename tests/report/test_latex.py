import re
import shutil
import subprocess

import numpy as np
import pytest

from dgm_run.report.comparison import compare_runs
from dgm_run.report.latex import escape, render_latex
from tests.support import folders

DOCUMENT = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{report}\end{document}"


def body_of(text):
    """Returns the cells of each table: its head and its lines."""
    tables = re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL)
    return [
        [line.removesuffix(r" \\").split(" & ") for line in each.splitlines() if "rule" not in line] for each in tables
    ]


def write_runs(folder, values, **more):
    """Writes a run for each prior and seed, without values of single examples."""
    for prior, numbers in values.items():
        for seed, value in enumerate(numbers):
            folders.write(folder / f"{prior}{seed}", folders.config(prior, seed), [folders.estimate(value, **more)])


def test_best_and_its_equals_are_bold(tmp_path):
    noise = np.random.default_rng(0).normal(size=(3, 200))
    for prior, gain in (("A", 0.0), ("B", 0.05 * noise[1]), ("C", -1.0 + 0.01 * noise[2])):
        values = -4.0 + noise[0] + gain
        row = folders.estimate(values.mean(), stderr=0.0723)
        folders.write(tmp_path / prior, folders.config(prior), [row], values)
    text = render_latex(compare_runs(tmp_path))
    ((head, *lines),) = body_of(text)
    assert head == ["prior", r"log\_likelihood $\uparrow$"]
    assert sorted((prior, r"\mathbf" in number) for prior, number in lines) == [("A", True), ("B", True), ("C", False)]
    assert re.fullmatch(r"\$-\d\.\d{3} \\pm 0\.072\$", dict(lines)["C"])
    assert r"$\pm$ its standard error over the test examples and of computing" in text
    assert "significantly (95\\% for all pairs of a column together)" in text


def test_errors_of_a_table_have_one_convention(tmp_path):
    write_runs(tmp_path, {"A": [-3.0, -3.2, -3.4], "B": [-5.0]})
    text = render_latex(compare_runs(tmp_path))
    ((head, *lines),) = body_of(text)
    assert head[-1] == "runs"
    stderr = np.std([-3.0, -3.2, -3.4], ddof=1) / np.sqrt(3)
    assert lines == [["A", rf"$\mathbf{{-3.20 \pm {stderr:.2f}}}$", "3"], ["B", "$-5.00$", "1"]]
    assert r"$\pm$ is the standard error of the mean over runs; a single run has none." in text


def test_other_quantities_have_their_own_table(tmp_path):
    quantities = [f"auroc_{name}" for name in "abcdefgh"]
    for prior in "AB":
        rows = [folders.estimate(-3.0), *(folders.estimate(0.5, name, unit="") for name in quantities)]
        folders.write(tmp_path / prior, folders.config(prior), [*rows, folders.estimate(2.0, "kl", stderr=None)])
    main, *others = body_of(render_latex(compare_runs(tmp_path)))
    assert main[0] == ["prior", r"log\_likelihood $\uparrow$"]
    titles = [title for head, *_ in others for title in head[1:]]
    assert titles == [*(rf"{escape(name)} $\uparrow$" for name in quantities), "kl"]
    assert max(len(head) for head, *_ in others) == 5  # what fits a page
    last = [line[-1] for line in others[-1][1:]]
    assert last == ["$2$", "$2$"]  # no order, no bold


def test_captions_explain_only_what_is_there(tmp_path):
    rows = [folders.estimate(-3.0), folders.estimate(0.25, "kl", stderr=None, kind="exact")]
    folders.write(tmp_path / "a", folders.config(), rows)
    first, second = re.findall(r"\\caption\{(.*)\}\n", render_latex(compare_runs(tmp_path)))
    assert r"$\pm$" in first
    assert "Bold" not in first  # the only number of a column is not the best of many
    assert "Each number is of one trained model. kl: exact by" in second


def test_methods_of_one_quantity_are_numbered(tmp_path):
    rows = [folders.estimate(-3.0, settings={"num_samples": n}) for n in (5, 50)]
    folders.write(tmp_path / "a", folders.config(), rows)
    text = render_latex(compare_runs(tmp_path))
    ((head, _),) = body_of(text)
    assert head == ["configuration", r"log\_likelihood [1] $\uparrow$", r"log\_likelihood [2] $\uparrow$"]
    assert r"log\_likelihood [1]: estimate by importance\_sampling (num\_samples=50), nats; 4 examples." in text


@pytest.mark.parametrize(
    ("value", "shown"), [(-1.5e9, r"-1.500 \cdot 10^{9}"), (float("nan"), r"\mathrm{nan}"), (-np.inf, r"-\mathrm{inf}")]
)
def test_extreme_numbers_are_shown(tmp_path, value, shown):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(value, stderr=None)])
    assert shown in render_latex(compare_runs(tmp_path))


def test_text_is_escaped():
    assert escape("50% of a_b & $x^2$ {#1} ~\\") == (
        r"50\% of a\_b \& \$x\textasciicircum{}2\$ \{\#1\} \textasciitilde{}\textbackslash{}"
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path):
    folders.sweep(tmp_path / "runs")
    odd = folders.config("a_b%c&d$e#f^g~h{i}\\j<k>l|m ± n")
    rows = [folders.estimate(-4.0), folders.estimate(1.5e9, "kl"), folders.estimate(float("nan"), "elbo")]
    folders.write(tmp_path / "runs" / "odd", odd, rows)
    (tmp_path / "report.tex").write_text(render_latex(compare_runs(tmp_path / "runs")))
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    done = subprocess.run(["pdflatex", "-halt-on-error", "paper"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_published_numbers_have_a_line_and_a_source(tmp_path):
    paper = {"values": {"log_likelihood": -85.1, "kl": 25.0}, "source": "Paper & al., 2016, https://a.b/c, Table 1"}
    for prior in "AB":
        published = paper | {"kind": "paper"} if prior == "A" else None
        folders.write(tmp_path / prior, folders.config(prior), [folders.estimate(-86.123)], published=published)
    text = render_latex(compare_runs(tmp_path))
    ((_, *lines),) = body_of(text)
    assert lines[-1] == ["published (a), A", "$-85.1$"]
    assert len(lines) == 3
    (caption,) = re.findall(r"\\caption\{(.*)\}\n", text)
    assert caption.endswith(r"no error here: (a) a paper's number: Paper \& al., 2016, https://a.b/c, Table 1.")


def test_published_numbers_of_one_configuration(tmp_path):
    paper = {"values": {"log_likelihood": -85.0}, "source": "a paper", "kind": "bound"}
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-86.0)], published=paper)
    ((head, *lines),) = body_of(render_latex(compare_runs(tmp_path)))
    assert [line[0] for line in lines] == ["all", "published (a)"]
    assert len({len(head), *map(len, lines)}) == 1
