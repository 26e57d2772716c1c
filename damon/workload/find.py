# SPDX-License-Identifier: GPL-2.0-only
"""Workload files by name: a path, or one of those that are shipped."""

from __future__ import annotations

import difflib
import errno
import os
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput

#: ``workloads/`` of the source tree; data of this package in the wheel.
SHIPPED: Final = Path(__file__).with_name("shipped")


def shipped() -> list[str]:
    """The names of the shipped workloads, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find_workload(name: str | Path) -> Path:
    """``name`` as a path if such a file exists, else the shipped workload of this name.

    Raises:
        InvalidInput: ENOENT, a bare name that is neither.
    """
    path = Path(name)
    if path.suffix or path.name != str(name) or os.path.exists(path):
        return path
    names = shipped()
    if path.name in names:
        return SHIPPED / f"{path.name}.yaml"
    near = difflib.get_close_matches(path.name, names, 1)
    remedy = f"did you mean {near[0]}?" if near else "give the path of a file, or one of " + ", ".join(names)
    raise InvalidInput(
        f"workload {str(name)[:60]!r}: neither a file here nor a shipped workload; {remedy}", errno.ENOENT
    )
