# SPDX-License-Identifier: GPL-2.0-only
"""The C helper library: sources in ``src/``, one file a concern, loaded once with ctypes.

Each package declares the routines that it calls (``bind``) and the records that it shares (``shared``, ``layout.py``)
next to what uses them; this file only loads. Calls release the GIL (``ctypes.CDLL``) and never keep a pointer
past their return unless their comment allows it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from damon.errors import MissingCapability

LIBRARY = Path(__file__).with_name("libdamon.so")
SOURCES = Path(__file__).with_name("src")
WORKLOAD_PROGRAM = Path(__file__).parent / "bin" / "damon-workload"
#: Every routine that was bound, by name.
BOUND: Final[dict[str, Any]] = {}


def refuse_stale(library: Path, sources: Path) -> None:
    """Raise ``MissingCapability`` when, in a checkout, a file of ``sources`` is younger than ``library``.

    With a library of another commit, Python would pass records that C reads with another layout. What is installed was
    built from its sources, whatever their times.
    """
    if not (sources.parents[2] / "setup.py").is_file():
        return
    try:
        built = library.stat().st_mtime
        files = [entry for entry in os.scandir(sources) if entry.name.endswith((".c", ".h"))]
        younger = [entry.name for entry in files if entry.stat().st_mtime > built]
    except OSError:  # not built yet
        return
    if younger:
        what = f"C helper: {library.name}"
        raise MissingCapability(f"{what}: is older than its source {min(younger)}; build it again with `make build`")


@cache
def library() -> ctypes.CDLL:
    """The library; ``MissingCapability`` when it is not built, or is older than its sources."""
    refuse_stale(LIBRARY, SOURCES)
    try:
        return ctypes.CDLL(str(LIBRARY), use_errno=True)
    except OSError as error:
        raise MissingCapability(
            f"C helper: {LIBRARY.name}: cannot be loaded ({error}); build it with `pip install .` or `make build`"
        ) from None


def bind(name: str, restype: Any, *argtypes: Any) -> Callable[..., Any]:
    """The C routine ``name`` with its signature declared.

    A routine with result ``int`` that fails returns a negative errno, as in the kernel.
    """
    function = getattr(library(), name)
    function.restype = restype
    function.argtypes = argtypes
    BOUND[name] = function
    return function  # type: ignore[no-any-return]
