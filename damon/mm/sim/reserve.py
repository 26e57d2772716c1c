# SPDX-License-Identifier: GPL-2.0-only
"""Arrays in reserved address space."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from typing import Any, Final

from damon.errors import MissingCapability

MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)


class Reserve:
    """An array in reserved address space: zero, and free of cost until it is touched, however long.

    It is unmapped when nothing refers to it, its rows or its pointer any more.
    """

    def __init__(self, ctype: Any, length: int, *, huge: bool = False) -> None:
        self.ctype = ctype
        self.length = max(length, 1)
        try:
            self._map = mmap.mmap(
                -1, self.length * ctypes.sizeof(ctype), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
            )
        except OSError as error:
            size = self.length * ctypes.sizeof(ctype) >> 20
            raise MissingCapability(
                f"simulated machine: {size} MiB: the address space cannot be reserved ({error.strerror}); "
                "simulate less memory, or set vm.overcommit_memory to 0 or 1"
            ) from None
        if huge:  # wanted where samples fall at random: a page walk costs more than the read
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_HUGEPAGE)
        self.rows: Any = (ctype * self.length).from_buffer(self._map)
        self.pointer = ctypes.pointer(ctype.from_buffer(self._map))  # a cast would leave a cycle for the collector

    def discard(self) -> None:
        """All zero again."""
        self._map.madvise(mmap.MADV_DONTNEED)

    def head(self, length: int) -> bytes:
        """The first ``length`` rows."""
        return ctypes.string_at(self.pointer, length * ctypes.sizeof(self.ctype))
