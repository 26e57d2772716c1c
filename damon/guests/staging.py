# SPDX-License-Identifier: GPL-2.0-only
"""What a guest has of this project: the package as it is here, and its byte code."""

from __future__ import annotations

import importlib.util
import py_compile
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from damon.cache import content_key, reused
from damon.progress import Progress
from vmtest import Tree
from vmtest.directories import NOT_COPIED
from vmtest.images.rootfs_build import BYTE_CODE

PACKAGE: Final = Path(__file__).parents[1]
#: Where it lies in a guest; ``ENV`` lets Python find it.
PLACE: Final = "/opt/pydamon"
ENV: Final = {"PYTHONPATH": PLACE}
PYTHON: Final = "python3"
#: What stands before byte code: magic number, flags, and the source's time and size, by which Python finds it current.
_HEADER: Final = "<4xIII"


def package_trees() -> tuple[Tree, ...]:
    """The package ``damon``, for a guest of this machine's architecture."""
    inside = f"{PLACE}/{PACKAGE.name}"
    # In a checkout some directories are links to others beside the package: they come as what they are.
    links = [path for path in sorted(PACKAGE.rglob("*")) if path.is_symlink() and path.is_dir()]
    whole = Tree(PACKAGE, inside, exclude=(*NOT_COPIED, *(path.name for path in links)))
    linked = [Tree(path.resolve(), f"{inside}/{path.relative_to(PACKAGE)}") for path in links]
    return tuple(one for tree in (whole, *linked) for one in (tree, *byte_code(tree.host, tree.guest, ["**/*.py"])))


def byte_code(root: Path, inside: str, patterns: Sequence[str]) -> tuple[Tree, ...]:
    """Compiled sources, to lie over ``root`` in the guest, so that not each guest compiles them for seconds.

    Args:
        root: a directory with sources.
        inside: where it is in the guest.
        patterns: those of its files that guests import.

    Returns:
        Nothing where the guest's Python would not take this one's byte code.
    """
    if importlib.util.MAGIC_NUMBER != BYTE_CODE:
        return ()
    key = content_key({"root": str(root), "inside": inside})
    with Progress("byte code for guests") as progress, reused("bytecode", key, progress) as place:
        for source in sorted(path for pattern in patterns for path in root.glob(pattern)):
            relative = source.relative_to(root)
            compiled = place / relative.parent / "__pycache__" / f"{relative.stem}.{sys.implementation.cache_tag}.pyc"
            if not _current(compiled, source):
                mode = py_compile.PycInvalidationMode.TIMESTAMP
                py_compile.compile(str(source), str(compiled), f"{inside}/{relative}", True, invalidation_mode=mode)
    return (Tree(place, inside, exclude=()),)


def _current(compiled: Path, source: Path) -> bool:
    """Whether it was made of this source."""
    if not compiled.exists():
        return False
    found, state = compiled.read_bytes()[: struct.calcsize(_HEADER)], source.stat()
    wanted = (0, int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF)
    return len(found) == struct.calcsize(_HEADER) and struct.unpack(_HEADER, found) == wanted
