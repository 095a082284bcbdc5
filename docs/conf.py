"""Sphinx configuration: pages of this folder, notebooks and model cards written before the build."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from docutils.nodes import SkipNode

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import write_pages

from bayes_alliance.report.html import latex_to_mathml

project = "bayes_alliance"
author = "The bayes_alliance developers"
copyright = author
release = version_of("bayes-alliance")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
nb_execution_mode = "off"  # notebooks are executed by their own tests, and their outputs committed
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
templates_path = ["_templates"]
exclude_patterns = ["_build"]
# decision records are linked from their table, and would flood the navigation
suppress_warnings = ["toc.not_included", "mystnb.unknown_mime_type", "myst.header", "misc.highlighting_failure"]
html_theme = "pydata_sphinx_theme"
html_title = "bayes_alliance"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}

html_css_files = ["site.css"]
html_math_renderer = "mathml"


def show_inline(translator, node):
    """Write inline LaTeX as MathML, which browsers show without a script."""
    translator.body.append(latex_to_mathml(node.astext(), display="inline"))
    raise SkipNode


def show_block(translator, node):
    """Write displayed LaTeX as MathML."""
    translator.body.append(f'<div class="formula">{latex_to_mathml(node.astext())}</div>')
    raise SkipNode


def setup(app):
    """Register the renderer of formulas: nothing is loaded from elsewhere."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_block, None))


write_pages(Path(__file__).resolve().parent)
