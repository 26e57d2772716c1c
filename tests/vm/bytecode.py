# SPDX-License-Identifier: GPL-2.0-only
"""The project's modules compiled for a guest: its Python takes them if it is of this one's version."""

from __future__ import annotations

import py_compile
import struct
import sys
from pathlib import Path

from filelock import FileLock

from tests.vm.job import PROJECT
from vmtest import Tree

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build/bytecode"
#: What guests import.
SOURCES = ("damon/**/*.py", "tests/*.py", "tests/vm/**/*.py")
#: What stands before the code: magic number, flags, and the source's time and size, by which Python knows it.
HEADER = "<4xIII"


def trees() -> tuple[Tree, ...]:
    """What lies over the project's tree in the guest, so that not each guest compiles it for seconds."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{PLACE}.lock"):
        for source in sorted(path for pattern in SOURCES for path in ROOT.glob(pattern)):
            inside = source.relative_to(ROOT)
            compiled = PLACE / inside.parent / "__pycache__" / f"{inside.stem}.{sys.implementation.cache_tag}.pyc"
            if not _current(compiled, source):
                mode = py_compile.PycInvalidationMode.TIMESTAMP
                py_compile.compile(str(source), str(compiled), f"{PROJECT}/{inside}", True, invalidation_mode=mode)
    return (Tree(PLACE, PROJECT, exclude=()),)


def _current(compiled: Path, source: Path) -> bool:
    """Whether it was made of this source."""
    if not compiled.exists():
        return False
    found, state = compiled.read_bytes()[: struct.calcsize(HEADER)], source.stat()
    wanted = (0, int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF)
    return len(found) == struct.calcsize(HEADER) and struct.unpack(HEADER, found) == wanted
