# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees for tests: Debian's packages, and copies of them with a change."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest

from damon.errors import DamonError, MissingCapability
from damon.kernel.build import Built, build
from damon.kernel.source import KernelSource, open_source

#: The version that pydamon follows.
CURRENT = "linux-source-7.3"
#: Set where a missing source is a failure (``make test-long``).
REQUIRED = "PYDAMON_KERNELS_REQUIRED"


@functools.cache
def _source(name: str) -> KernelSource | str:
    try:
        return open_source(name)
    except (DamonError, MissingCapability) as error:
        return str(error)


def source(name: str = CURRENT) -> KernelSource:
    """The source, from the cache or downloaded once; a test that cannot have it is skipped, and says so."""
    found = _source(name)
    if isinstance(found, str):
        if os.environ.get(REQUIRED):
            pytest.fail(f"NO KERNEL SOURCE: {found}")
        pytest.skip(f"NO KERNEL SOURCE: the kernel's own C is not compared: {found}")
    return found


def built(name: str = CURRENT) -> Built:
    """Its library."""
    return build(source(name))


def changed(directory: Path, old: str, new: str, file: str = "mm/damon/core.c") -> Path:
    """A copy of the current tree in ``directory`` in which ``old`` is ``new``, at its only place."""
    tree = directory / "tree"
    shutil.copytree(source().path, tree, symlinks=True)
    path = tree / file
    text = path.read_text()
    assert text.count(old) == 1, f"{file} has {text.count(old)} times: {old}"
    path.chmod(0o644)
    path.write_text(text.replace(old, new))
    return tree
