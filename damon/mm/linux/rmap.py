# SPDX-License-Identifier: GPL-2.0-only
"""The reverse map of a machine, and actions on folios through the processes that it finds."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from damon.mm.linux import native
from damon.mm.linux.native import Files, Result
from damon.model.arrays import FolioArray

#: Page frames in the window at most: 128 GiB of memory. 8 bytes each (0.2 % of memory), touched only where something is
#: mapped.
WINDOW: Final = 1 << 25
#: Read anew at this age even if it seems right.
MAX_AGE_NS: Final = 10_000_000_000
#: On a mismatch, read anew at this age at the earliest, and so seldom that it takes at most one part in so many.
MIN_AGE_NS: Final = 100_000_000
MAX_SHARE: Final = 20
#: One page in so many that is missing or has moved is a mismatch.
TOLERATED: Final = 8


def add_second(result: Result, again: Result) -> None:
    """Add to ``result`` what a second attempt at the same pages, by a newer map, has reached: each page counts once.

    Where an action can be repeated, ``again`` has the pages of the first attempt as well, so ``wanted`` is the limit.
    """
    before = result.acted
    for name in ("acted", "left", "moved"):
        setattr(result, name, min(getattr(result, name) + getattr(again, name), result.wanted))
    reached = result.acted - before
    from_stale = min(reached, result.stale)
    result.stale -= from_stale
    result.missing -= min(reached - from_stale, result.missing)


class ReverseMap:
    """Page frame -> (process, address) for a window of page frames. A hint only: every use asks pagemap again.

    Threads of several contexts share it; one acts at a time.
    """

    def __init__(self, files: Files, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._files = files
        self._now_ns = now_ns
        self._map: int | None = native.rmap_new()
        if not self._map:
            raise MemoryError
        self._lock = threading.Lock()
        self._first = self._nr = 0
        self._built_ns = self._cost_ns = 0
        self.builds = 0

    def build(self, first: int, nr: int) -> None:
        """Read the page frames ``[first, first + nr)`` from all page tables."""
        begin = self._now_ns()
        native.checked(native.rmap_build(self._files.pointer, self._map, os.getpid(), first, nr))
        self._built_ns = self._now_ns()
        self._cost_ns = self._built_ns - begin
        self._first, self._nr = first, nr
        self.builds += 1

    def __len__(self) -> int:
        """Page frames that a process maps."""
        return int(native.rmap_entries(self._map))

    def get(self, pfn: int) -> tuple[int, int] | None:
        """(pid, virtual page) of a page that maps ``pfn``."""
        pid = ctypes.c_int32()
        page = native.rmap_get(self._map, pfn, ctypes.addressof(pid))
        return (pid.value, page) if pid.value else None

    @property
    def cost_ns(self) -> int:
        """What the last build took."""
        return self._cost_ns

    def _may_rebuild(self) -> bool:
        return self._now_ns() - self._built_ns >= max(MIN_AGE_NS, MAX_SHARE * self._cost_ns)

    def _cover(self, folios: FolioArray) -> None:
        last = folios[folios.nr - 1]
        low, high = folios[0].pfn, last.pfn + last.nr_pages
        if self._first <= low and high <= self._first + self._nr:
            if self._now_ns() - self._built_ns >= max(MAX_AGE_NS, MAX_SHARE * self._cost_ns):
                self.build(self._first, self._nr)
            return
        window = self._window()
        first = low // window * window if high <= (low // window + 1) * window else low
        self.build(first, max(window, high - first))

    def _window(self) -> int:
        """A power of two: the page frames that the machine has, ``WINDOW`` at most."""
        window = 1 << 16
        while window < WINDOW and os.pread(self._files.kpageflags, 8, window * 8):
            window *= 2
        return window

    def _lookup(self, folios: FolioArray, action: int) -> Result:
        result = Result()
        native.rmap_lookup(self._map, folios.pointer, folios.nr, action, None, 0, ctypes.addressof(result))
        return result

    def act(self, folios: FolioArray, action: int) -> Result:
        """``native.PAGEOUT``, ``DEACTIVATE``, ``ACTIVATE`` or ``MIGRATE`` on the mapped folios with ``FOLIO_PASS``."""
        result = Result()
        with self._lock:
            if self._map is None or not folios.nr:
                return result
            self._cover(folios)
            before = self._lookup(folios, action)
            if before.wanted:
                if before.missing * TOLERATED > before.wanted and self._may_rebuild():
                    self.build(self._first, self._nr)
                self._act(folios, action, result)
                if result.stale * TOLERATED > result.wanted and self._may_rebuild():
                    self.build(self._first, self._nr)
                    again = Result()
                    self._act(folios, action, again)
                    add_second(result, again)
            result.unmapped, result.unevictable = before.unmapped, before.unevictable
        return result

    def _act(self, folios: FolioArray, action: int, result: Result) -> None:
        native.checked(
            native.act(self._files.pointer, self._map, folios.pointer, folios.nr, action, ctypes.addressof(result))
        )

    def close(self) -> None:
        with self._lock:
            native.rmap_free(self._map)
            self._map = None

    def __del__(self) -> None:
        if getattr(self, "_map", None):
            self.close()
