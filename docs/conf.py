"""Sphinx configuration: `make docs` builds the site into out/docs, with warnings as errors."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "Entropic"
author = "The authors of the entropic suite"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx-mathjax-offline"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook is stored with its outputs, which a test compares
html_theme = "furo"
html_title = "Entropic"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "Array": "Array"}
python_use_unqualified_type_names = True
suppress_warnings = ["config.cache"]

# Docstrings are plain text with formulas such as |x0 - D|^2 and sigma_*, no reStructuredText.


def _escape(app, what, name, obj, options, lines):
    """Escape what reStructuredText would take for markup, but for fields and literals."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith(":"):
            field, colon, text = line.rpartition(": ")
            lines[i] = field + colon + _escaped(text)
        else:
            lines[i] = _escaped(line)


def _escaped(text):
    parts = re.split(r"(``[^`]*``|`[^`]*`|\*\*\w+\*\*)", text)
    parts[::2] = [re.sub(r"(?<!\\)[|*]", r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def setup(app):
    """Connect the docstring filter, after napoleon's."""
    app.connect("autodoc-process-docstring", _escape, priority=900)
