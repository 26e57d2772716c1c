# SPDX-License-Identifier: GPL-2.0-only
"""The project's modules compiled, for a guest that has the whole tree."""

from __future__ import annotations

from pathlib import Path

from damon.guests.staging import byte_code
from tests.vm.job import PROJECT
from vmtest import Tree

#: What guests import. ``damon/modules`` is a link.
SOURCES = ("damon/**/*.py", "modules/**/*.py", "tests/*.py", "tests/vm/**/*.py")


def trees() -> tuple[Tree, ...]:
    """What lies over the project's tree in the guest."""
    return byte_code(Path(__file__).parents[2], PROJECT, SOURCES)
