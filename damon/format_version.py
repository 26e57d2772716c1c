# SPDX-License-Identifier: GPL-2.0-only
"""The ``format`` field of the project's own files: a reader refuses a later version before it looks at anything else.

``docs/reference/compatibility.md`` lists the files. ``vmtest/format_version.py`` is a link to this file, as neither
package imports the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .quoting import quoted

FIELD: Final = "format"
#: The latest versions of what one package writes and another reads.
RUN_RESULT: Final = 1  #: ``damon run --json``
CONTROL: Final = 1  #: requests to damond
SNAPSHOT: Final = 1  #: ``damon top --json``, and damond's answer that it is made of


def refusal(data: object, known: int) -> str | None:
    """``format: <version>: <why>; <remedy>`` of a file with later or unknown version; None when it may be read.

    Args:
        data: the file's content as plain values. A file without the field has version 1.
        known: the latest version that the caller reads.
    """
    version = data.get(FIELD, 1) if isinstance(data, Mapping) else 1
    if type(version) is int and 1 <= version <= known:
        return None
    return f"{FIELD}: {quoted(version)}: this program reads versions 1 to {known}; use a later pydamon"
