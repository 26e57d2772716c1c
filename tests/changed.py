# SPDX-License-Identifier: GPL-2.0-only
"""Nested mappings and lists with one field changed."""

from __future__ import annotations

import copy
import operator
import re
from functools import reduce
from typing import Any

#: In place of a value: the field is taken away.
GONE = object()


def changed(data: Any, path: str, value: object) -> Any:
    """A copy of ``data`` with ``value`` at ``path`` (``a.b[0].c`` or ``a.b.0.c``)."""
    made = copy.deepcopy(data)
    *steps, last = (int(step) if step.isdigit() else step for step in re.findall(r"[^.[\]]+", path))
    place = reduce(operator.getitem, steps, made)
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return made
