# SPDX-License-Identifier: GPL-2.0-only
"""Move a process's pages to the active list: ``activate.py PID START:END``. Two kernel-side reads of each page do it.

Independent of the project's own code on purpose: it sets the stage for a test of that code.
"""

from __future__ import annotations

import ctypes
import sys
from array import array

PAGE = 4096
#: Ranges that one call reads: a byte of each page.
PART = 512


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))  # two words, as they lie in `remote`


def main() -> None:
    pid = int(sys.argv[1])
    start, end = (int(edge, 0) for edge in sys.argv[2].split(":"))
    libc = ctypes.CDLL(None, use_errno=True)
    byte = ctypes.create_string_buffer(PART)
    local = Iovec(ctypes.cast(byte, ctypes.c_void_p), PART)
    remote = array("Q", [1]) * ((end - start) // PAGE * 2)
    remote[::2] = array("Q", range(start, end, PAGE))
    vectors = remote.buffer_info()[0]
    for _ in range(2):
        for first in range(0, len(remote) // 2, PART):
            number = min(PART, len(remote) // 2 - first)
            at = ctypes.c_void_p(vectors + first * ctypes.sizeof(Iovec))
            done = libc.process_vm_readv(pid, ctypes.byref(local), 1, at, number, 0)
            if done != number:
                raise SystemExit(f"process_vm_readv read {done} of {number} pages")


if __name__ == "__main__":
    main()
