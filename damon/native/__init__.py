# SPDX-License-Identifier: GPL-2.0-only
"""The C helper library: sources in ``src/``, one file a concern, loaded once with ctypes.

Each room declares the routines that it calls (``bind``) next to their plain Python twins; this file only loads.
Calls release the GIL (``ctypes.CDLL``) and never keep a pointer past their return unless their comment says so.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damon.errors import MissingCapability

LIBRARY = Path(__file__).with_name("libdamon.so")
WORKLOAD_PROGRAM = Path(__file__).parent / "bin" / "damon-workload"


def _load() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(LIBRARY), use_errno=True)
    except OSError as error:
        raise MissingCapability(
            f"the C helper {LIBRARY.name} cannot be loaded ({error}); build it with `pip install .` or `make build`"
        ) from None


_library = _load()


def bind(name: str, restype: Any, *argtypes: Any) -> Callable[..., Any]:
    """The C routine ``name`` with its signature declared.

    A routine with result ``int`` that fails returns a negative errno, as in the kernel.
    """
    function = getattr(_library, name)
    function.restype = restype
    function.argtypes = argtypes
    return function  # type: ignore[no-any-return]
