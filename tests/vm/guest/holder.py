# SPDX-License-Identifier: GPL-2.0-only
"""KIND MIB: holds so much memory of a kind until its input ends, and prints the kernel's account of all page frames.

Kinds: ``shared``, by two processes; ``locked``, by mlock(2); ``cached``, of a file that no process maps; ``own``, of
one process. The account is one line of JSON for each line of input: bytes on LRU lists by /proc/kpageflags and
/proc/kpagecount, ``unevictable``, ``unmapped``, ``shared`` or ``own``, and ``locked`` of this process by its smaps.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys
from array import array
from pathlib import Path

PAGE = 4096
LRU, MMAP, UNEVICTABLE = 1 << 5, 1 << 11, 1 << 18
CHUNK = 1 << 20
FILE = Path("/var/tmp/held")


def words(path: str) -> array[int]:
    """A number of each page frame."""
    found = array("Q")
    with open(path, "rb", buffering=0) as file:
        while data := os.pread(file.fileno(), CHUNK, len(found) * 8):
            found.frombytes(data)
    return found


def account() -> dict[str, int]:
    """Bytes of each kind."""
    found = dict.fromkeys(("unevictable", "unmapped", "shared", "own"), 0)
    for flags, count in zip(words("/proc/kpageflags"), words("/proc/kpagecount"), strict=False):
        if not flags & LRU:
            continue
        if flags & UNEVICTABLE:
            kind = "unevictable"
        elif not flags & MMAP:
            kind = "unmapped"
        else:
            kind = "shared" if count > 1 else "own"
        found[kind] += PAGE
    smaps = Path("/proc/self/smaps").read_text().splitlines()
    found["locked"] = sum(int(line.split()[1]) << 10 for line in smaps if line.startswith("Locked:"))
    return found


def hold(kind: str, size: int) -> tuple[mmap.mmap | None, int]:
    """The memory; and a process that has it, too, or 0."""
    if kind == "cached":
        FILE.write_bytes(os.urandom(size))
        os.sync()
        return None, 0
    flags = mmap.MAP_ANONYMOUS | (mmap.MAP_SHARED if kind == "shared" else mmap.MAP_PRIVATE)
    memory = mmap.mmap(-1, size, flags)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    libc = ctypes.CDLL(None)
    libc.madvise(address, ctypes.c_size_t(size), mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, PAGE):
        memory[at] = 1
    if kind == "locked":
        assert libc.mlock(address, ctypes.c_size_t(size)) == 0
    child = 0
    if kind == "shared":
        ready, told = os.pipe()
        child = os.fork()
        if not child:
            assert all(memory[at] for at in range(0, size, PAGE))
            os.write(told, b"x")
            signal.pause()
        os.read(ready, 1)
    return memory, child


def main() -> None:
    memory, child = hold(sys.argv[1], int(sys.argv[2]) << 20)
    try:
        for _ in sys.stdin:
            print(json.dumps(account()), flush=True)
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        FILE.unlink(missing_ok=True)
    del memory


if __name__ == "__main__":
    main()
