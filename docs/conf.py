"""How the site is built: `nox -s docs`. Nothing is fetched: no fonts, no scripts, no inventories of other projects."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for extension.py and cells.py

project = "bnbench"
author = "bnbench contributors"
project_copyright = f"%Y, {author}"
version = release = version_of("bnbench")

extensions = [
    "extension",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = [
    "**/captions.md",
    "cell_pictures.py",
    "cells.py",
    "conf.py",
    "extension.py",
    "pictures.py",
    "_build",
]
highlight_language = "text"
nitpicky = True
# Everything of bnbench has to be found. Of what others define only the names are shown, since nothing is fetched.
nitpick_ignore_regex = [
    (r"py:.*", r"(torch|numpy|pandas|pyarrow|pathlib|collections|matplotlib)\..*"),
    (r"py:class", "Path"),  # pathlib's, in a method whose other types are imported for type checkers alone
]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Arrays": "bnbench.inputs.image_files.Arrays", "Mask": "bnbench.inputs.masks.Mask"}
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes as one list

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "bnbench"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_domain_indices = False  # a page of the one module that is documented as such helps nobody
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0077bb", "color-brand-content": "#0067a3"},
    "dark_css_variables": {"color-brand-primary": "#66bbee", "color-brand-content": "#66bbee"},
}
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
