"""The site of docs/: its navigation and links, and the pages that are made from the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import dgm_run
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.leaves import iterate_leaves
from tests.support.readme import ROOT

sys.path.insert(0, str(ROOT / "docs"))
pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")
pytest.importorskip("latex2mathml")

from extensions.configuration import describe_group, list_groups, read_choice
from extensions.docstrings import escape
from extensions.links import add_navigation, add_numbers, redirect
from extensions.mathml import convert

CHOICE = """\
# @package _global_
# A model.
# It has two lines.
defaults:
  - override /objective: pcd
  - override /estimators: [energy, exact]
  - common/sizes@_here_
  - common/sizes@deep
  - /prior@model.top: standard

model:
  _target_: dgm_run.models.A
  size: 5         # units
  kind: a         # a | b
                  # c: the third
  rates: [1, 2]
trainer: {max_epochs: 3}   # epochs
"""


def test_keys_have_their_values_and_comments(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "sizes.yaml").write_text("width: 3   # units\n")
    path = tmp_path / "a.yaml"
    path.write_text(CHOICE)
    comment, parts, keys = read_choice(path, "model")
    assert comment == "A model. It has two lines."
    assert parts == ["objective=pcd", "estimators=[energy,exact]", "prior=standard as model.top"]
    assert keys == [
        ("width", "3", "units"),
        ("deep.width", "3", "units"),
        ("model.size", "5", "units"),
        ("model.kind", "a", "a | b c: the third"),
        ("model.rates", "[1, 2]", ""),
        ("trainer", "{max_epochs: 3}", "epochs"),
    ]


def test_keys_of_a_group_start_with_its_name(tmp_path):
    (tmp_path / "x.yaml").write_text("a: 1\n")
    assert [key.name for key in read_choice(tmp_path / "x.yaml", "dataset/corrupt")[2]] == ["dataset.corrupt.a"]


@pytest.mark.parametrize("overrides", [(), ("model=dbm",), ("model=hvae", "prior=vampprior", "dataset=mnist")])
def test_reference_has_every_key_of_a_run(overrides):
    pages = "\n".join(describe_group(conf_dir(), group) for group in list_groups(conf_dir()))
    config = OmegaConf.to_container(dgm_run.compose(*overrides), resolve=False)
    keys = {key for key, _ in iterate_leaves(config) if not key.rpartition(".")[2].startswith("_")}
    assert "`objective=pcd as trainer.pretraining.objective`" in pages
    keys = {key for key in keys if "." in key and not key.startswith("trainer.pretraining.objective.")}
    missing = {key for key in keys if f"`{key}`" not in pages and f"`{key.rpartition('.')[0]}`" not in pages}
    assert len(keys) > 60
    assert missing == set()


def test_links_leave_docs_for_pages_of_the_site():
    text = "[a](../RESULTS.md) [b](../examples/ising.py) [c](data.md#x) [d](../Makefile)"
    expected = "[a](reference/published.md) [b](reference/examples.md) [c](data.md#x) [d](../Makefile)"
    assert redirect("training", text) == expected
    assert redirect("tutorials/a", "[a](../../CONTRIBUTING.md#tests)") == "[a](../reference/contributing.md#tests)"


def test_sections_become_navigation():
    text = add_navigation("# Top\n\n## One\n\n| [a](a.md) | [b](t/b.md#x) [c](t/c.md) |\n\n## Two\n\nwords\n")
    assert "```{toctree}\n:hidden:\n:caption: One\n\na\nt/c\n```" in text
    assert text.endswith("## Two\n\nwords\n")
    reference = add_navigation("# Top\n\n## Reference\n\n| a | b |\n| --- | --- |\n| [x](x.md) | y |\n")
    assert "| [x](x.md) | y |\n| [configuration keys](reference/configuration.md) | every key" in reference
    assert ":caption: Reference\n\nx\nreference/configuration\n" in reference


def test_docstrings_are_plain_text():
    assert escape("a (B, *shape) of `x_1 * y` | z_") == r"a (B, \*shape) of ``x_1 * y`` \| z\_"


def test_formulas_are_mathml():
    assert convert("x^2") == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup>'
        "</mrow></math>"
    )
    assert "<mi>log</mi><mspace" in convert(r"\log p").replace("\n", "")


def test_formulas_have_the_spaces_of_latex():
    assert re.search(r"</mfrac><mspace[^>]*/><mi>log</mi><mspace[^>]*/><mfrac>", convert(r"\frac{1}{a} \log \frac1b"))
    assert "<mo>&#x0223C;</mo>" in convert(r"z \sim p")
    assert "<mspace" not in convert(r"a \geq \log(b)")


def test_comments_become_tables_of_presets():
    text = add_numbers("above\n<!-- presets: scikit_learn, sylvester_2018 -->\n")
    assert "| scikit_learn/digits_ppca2: PCA" in text
    assert "sylvester_2018" not in text  # it needs days
    assert add_numbers("<!-- presets: no_paper -->").startswith("None of these presets has run here yet")


@pytest.mark.slow
def test_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("furo")
    arguments = ["-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "sphinx", *arguments], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    page = (Path(tmp_path) / "reference" / "python.html").read_text()
    assert "dgm_run.compose" in page
