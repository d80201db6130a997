"""How Sphinx builds these pages: ``python -m sphinx -W --keep-going docs build/docs``."""

import importlib
import inspect
import os
import zlib
from pathlib import Path

from sktransfer import __version__

HERE = Path(__file__).resolve().parent

project = "sktransfer"
author = "The sktransfer developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxext.opengraph",
]
exclude_patterns = ["_templates"]
templates_path = ["_templates"]
# Functions in this file, which Sphinx cannot keep between builds.
suppress_warnings = ["config.cache"]

# Headings can be linked to as on GitHub.
myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block", "colon_fence"]


def own_methods(fullname: str) -> list[str]:
    """List the public methods of a class that this package defines."""
    module, _, name = fullname.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    methods = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("sktransfer"):
            for method, value in vars(base).items():
                value = getattr(value, "__func__", value)
                if inspect.isfunction(value) and not method.startswith("_") and value.__doc__:
                    methods[method] = None
    return sorted(methods, key=lambda name: name != "fit")  # which comes first


autosummary_context = {"own_methods": own_methods}
numpydoc_show_class_members = False  # the template lists those that the package defines
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # types stand in the docstrings

# Where an inventory cannot be fetched, as on a machine without a network, an empty one takes its
# place: names of other projects then stand as text, and the build goes on.
EMPTY = HERE / "generated" / "empty.inv"
EMPTY.parent.mkdir(exist_ok=True)
EMPTY.write_bytes(
    b"# Sphinx inventory version 2\n# Project: none\n# Version: 0\n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(b"")
)
intersphinx_mapping = {
    name: (url, (None, str(EMPTY)))
    for name, url in {
        "python": "https://docs.python.org/3",
        "numpy": "https://numpy.org/doc/stable",
        "scipy": "https://docs.scipy.org/doc/scipy",
        "sklearn": "https://scikit-learn.org/stable",
        "pandas": "https://pandas.pydata.org/docs",
        "dask": "https://docs.dask.org/en/stable",
    }.items()
}
intersphinx_timeout = 10  # seconds

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up messages between the pictures
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": ("_repr_html_",),
    "show_memory": False,
    "write_computation_times": False,  # pages that load scripts from elsewhere
    "show_signature": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "doc_module": ("sktransfer",),
    "backreferences_dir": "generated/backreferences",
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "first_notebook_cell": '%pip install --quiet "sktransfer[plot]"',
}

# Without prompts and output, so that what is copied runs.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "sktransfer"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_favicon = "images/icon.svg"
html_theme_options = {
    "logo": {"image_light": "images/logo.svg", "image_dark": "images/logo_dark.svg"},
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_sidebars = {"index": []}
html_show_sourcelink = False
html_copy_source = False

ogp_site_url = "https://sktransfer.github.io/"
ogp_image = "https://sktransfer.github.io/_images/few_labels.png"
ogp_enable_meta_description = True
