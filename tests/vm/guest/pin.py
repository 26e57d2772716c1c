# SPDX-License-Identifier: GPL-2.0-only
"""Holds on to a page of each 2 MiB of fresh memory, so that it cannot move: ``pin.py MEBIBYTES``, until it is killed.

A pipe that memory was spliced into has references to its pages; the kernel does not migrate those.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import sys
import time

STEP = 2 << 20
PAGE = mmap.PAGESIZE


class Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def main() -> None:
    size = int(sys.argv[1]) << 20
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, PAGE):
        memory[at] = 1
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    _, into = os.pipe()
    fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 1 << 20)
    for at in range(0, size, STEP):
        vector = Vector(start + at, PAGE)
        if libc.vmsplice(into, ctypes.byref(vector), 1, 0) != PAGE:
            raise OSError(ctypes.get_errno(), "vmsplice")
    print("pinned", flush=True)
    time.sleep(600)


main()
