# SPDX-License-Identifier: GPL-2.0-only
"""Kernel trees for tests: Debian's packages, and copies of them with a change."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest

from damon.cache import content_key, obtain
from damon.errors import DamonError, MissingCapability
from damon.kernel.build import Built, build
from damon.kernel.source import KernelSource, open_source
from damon.progress import Progress

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
    """The source, from the cache or downloaded once; a test that cannot have it is skipped, with the reason."""
    found = _source(name)
    if isinstance(found, str):
        if os.environ.get(REQUIRED):
            pytest.fail(f"NO KERNEL SOURCE: {found}")
        pytest.skip(f"NO KERNEL SOURCE: the kernel's own C is not compared: {found}")
    return found


def built(name: str = CURRENT) -> Built:
    """Its library."""
    return build(source(name))


def changed(*replaced: tuple[str, str], file: str = "mm/damon/core.c") -> Path:
    """The current tree with replacements, each at its only place in ``file``.

    It is in the cache: an engine's debug information names its tree, so the same tree needs no second build.
    """
    tree = source().path
    text = (tree / file).read_text()
    for old, new in replaced:
        assert text.count(old) == 1, f"{file} has {text.count(old)} times: {old}"
        text = text.replace(old, new)
    top = file.partition("/")[0]

    def make(out: Path, _progress: Progress) -> None:
        for entry in tree.iterdir():
            if entry.name == top:
                shutil.copytree(entry, out / top, symlinks=True)
            else:
                (out / entry.name).symlink_to(entry)
        (out / file).chmod(0o644)
        (out / file).write_text(text)

    key = content_key({"tree": str(tree), "sha256": source().sha256, "file": file, "text": text})
    return obtain("test-tree", key, f"a tree with another {file}", make, {"tree": str(tree), "file": file})


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def kept(file: Path) -> Path:
    """A copy of a C file in the cache, for the same reason."""
    text = file.read_bytes()
    key = content_key({"name": file.name, "text": text})
    made = obtain("test-file", key, file.name, lambda out, _: _write(out / file.name, text), {})
    return made / file.name
