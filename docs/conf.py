"""How Sphinx builds these pages: ``sphinx-build -W docs build/docs``."""

from sktransfer import __version__

project = "sktransfer"
author = "The sktransfer developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
# Headings can be linked to as on GitHub.
myst_heading_anchors = 3

numpydoc_show_class_members = False  # the pages name the members themselves
autodoc_typehints = "none"  # types stand in the docstrings

html_theme = "pydata_sphinx_theme"
html_title = "sktransfer"
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2}
html_sidebars = {"**": []}  # the pages stand in a row, above
