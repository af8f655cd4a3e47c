"""Configuration of the site that `make docs` builds from these pages with Sphinx."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import dgm_run

project = "dgm-run"
author = "the dgm-run contributors"
copyright = "the dgm-run contributors"
release = dgm_run.__version__
root_doc = "README"
exclude_patterns = ["extensions"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "extensions.docstrings",
    "extensions.mathml",
    "extensions.links",
    "extensions.generated",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = "dgm-run"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
