"""Formulas as MathML, which browsers draw by themselves: the site needs no script and no network."""

import re

from docutils import nodes
from latex2mathml import converter
from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True}


def convert(formula: str, display: str = "inline") -> str:
    """Converts a formula of LaTeX; a function like log has thin spaces around it, as LaTeX sets it."""
    spaced = re.sub(r"(\\(?:log|det))(?=\s*(?:[A-Za-z]|\\frac|\\left))", r"\1\\,", formula)
    spaced = re.sub(r"(?:(?<=[})])|(?<=_\w))\s*(?=\\log)", r"\\,", spaced)
    # The converter takes the relation for an accent, which has no space beside it.
    return converter.convert(spaced, display=display).replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")


def _visit_inline(translator, node: nodes.math) -> None:
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _visit_block(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>\n')
    raise nodes.SkipNode
