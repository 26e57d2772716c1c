# SPDX-License-Identifier: GPL-2.0-only
"""Move a process's pages to the active list: ``activate.py PID START:END``. Two kernel-side reads of each page do it.

Independent of the project's own code on purpose: it sets the stage for a test of that code.
"""

from __future__ import annotations

import ctypes
import sys


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def main() -> None:
    pid = int(sys.argv[1])
    start, end = (int(edge, 0) for edge in sys.argv[2].split(":"))
    libc = ctypes.CDLL(None, use_errno=True)
    byte = ctypes.create_string_buffer(512)
    local = Iovec(ctypes.cast(byte, ctypes.c_void_p), 512)
    pages = list(range(start, end, 4096))
    for _ in range(2):
        for index in range(0, len(pages), 512):
            part = pages[index : index + 512]
            remote = (Iovec * len(part))(*(Iovec(page, 1) for page in part))
            done = libc.process_vm_readv(pid, ctypes.byref(local), 1, remote, len(part), 0)
            if done != len(part):
                raise SystemExit(f"process_vm_readv read {done} of {len(part)} pages")


if __name__ == "__main__":
    main()
