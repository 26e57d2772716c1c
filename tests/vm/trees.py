# SPDX-License-Identifier: GPL-2.0-only
"""What a guest has of the project: what it runs, not the rest, each file of which costs an emulated processor time."""

from __future__ import annotations

from pathlib import Path

from damon.guests.staging import byte_code
from tests.vm.job import PROJECT
from vmtest import Tree
from vmtest.directories import NOT_COPIED

ROOT = Path(__file__).parents[2]
#: Of the tests stay the package's own modules, ``host`` and ``vm``; of the pages, one that is a program.
LEFT_OUT = (
    *(f"/{name}" for name in ("benchmarks", "examples", "images", "share", "vmtest")),
    *("/damon/native/src", "/docs/[!h]*", "/docs/how-to/[!p]*", "/tests/[!hv]*/*", "/tests/vmtest"),
)
#: What guests import. ``damon/modules`` is a link.
SOURCES = ("damon/**/*.py", "modules/**/*.py", "tests/*.py", "tests/host/*.py", "tests/vm/**/*.py")


def project() -> tuple[Tree, ...]:
    """The project's tree, and its modules compiled."""
    return (Tree(ROOT, PROJECT, (*NOT_COPIED, *LEFT_OUT)), *byte_code(ROOT, PROJECT, SOURCES))
