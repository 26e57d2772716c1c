# SPDX-License-Identifier: GPL-2.0-only
"""A page of one file, which loads nothing: a template, the scripts of its pictures, and their data.

Names in data are foreign text. The template escapes them, the scripts get them as JSON and escape them again, and the
page's policy runs no script but its own two.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from damon.version import __version__


def render(template: str, scripts: Sequence[str], data: Any, **given: Any) -> str:
    """The page.

    Args:
        template: of the page; a file of this package, as the scripts are.
        scripts: in order, run after plotly.js.
        data: what they draw, as JSON.
        given: what the template gets.

    Raises:
        ImportError: jinja2 or plotly is not installed.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=jinja2.FunctionLoader(_text)
    )
    drawing, script = library(), "\n".join(map(_text, scripts))
    return environment.get_template(template).render(
        version=__version__, style=_text("page.css"), library=drawing, script=script,
        hashes=[_hash(drawing), _hash(script)],
        # In HTML nothing ends a script but this sign.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"), **given,
    )  # fmt: skip


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()


def library() -> str:
    """plotly.js."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
