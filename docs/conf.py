# SPDX-License-Identifier: GPL-2.0-only
"""Sphinx: ``make docs`` builds these pages as HTML, and fails at any warning."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from damon.version import __version__

project = "pydamon"
author = "the pydamon authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Types of signatures are no links: most are of modules that have no page.
nitpick_ignore_regex = [(r"py:.*", r".*")]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"pydamon {release}"
html_show_copyright = False
html_copy_source = False
nitpicky = True
myst_heading_anchors = 4
exclude_patterns = ["_build"]
# Lines that show a shell or a program's output have no language.
highlight_language = "none"
