# SPDX-License-Identifier: GPL-2.0-only
"""A process to watch: some memory, touched on command. Prints the address of its area, then one answer a command line.

touch FIRST END STEP    read those pages (of the area) once
keep FIRST END STEP     read those pages again and again from now on, beside the commands that follow
write FIRST END STEP    write them, with their number as content
verify                  "same" if each written page holds its number, else "differs"
share                   fork: a child maps the same pages (of a file: as soon as it has read them)
collapse                ask for huge pages and write everything
lock FIRST END          mlock those pages
hide FIRST END          take all access to them away; show gives it back
reserve GIB             map so much without using it; the answer is its address
exec                    become a fresh victim with the same number
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
import threading
import time

PAGE = 4096
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.mprotect.argtypes = LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
#: Toggling the protection of more pages than the kernel flushes one by one makes it flush all: emulated processors keep
#: translations, and with them "accessed", for long. (On arm64 more than an emulated processor keeps.)
FLUSH_PAGES = 4096
MAP_NORESERVE = 0x4000


def address_of(area: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(area))


class Victim:
    def __init__(self, mib: int, path: str) -> None:
        size = mib << 20
        huge = 2 << 20
        if path:
            with open(path, "w+b") as file:
                file.write(bytes(size))
                file.flush()
                os.fsync(file.fileno())
                self.area = mmap.mmap(file.fileno(), size)
            self.start = 0
        else:
            self.area = mmap.mmap(-1, size + huge, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self.start = -address_of(self.area) % huge
        self.base = address_of(self.area) + self.start
        self.pages = size // PAGE
        self.written: set[int] = set()
        self.scratch = mmap.mmap(-1, FLUSH_PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # The kernel flushes from the first page that is there to the last.
        for page in (0, FLUSH_PAGES - 1):
            self.scratch[page * PAGE] = 1

    def flush(self) -> None:
        for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
            assert LIBC.mprotect(address_of(self.scratch), FLUSH_PAGES * PAGE, protection) == 0

    def keep(self, words: list[str]) -> None:
        while True:
            self.obey(["touch", *words])
            time.sleep(0.001)

    # Long: a branch for each command.
    def obey(self, words: list[str]) -> str:
        name, numbers = words[0], [int(word) for word in words[1:]]
        if name == "touch":
            self.flush()
            for page in range(*numbers):
                self.area[self.start + page * PAGE]
        elif name == "keep":
            threading.Thread(target=self.keep, args=(words[1:],), daemon=True).start()
        elif name == "write":
            self.flush()
            for page in range(*numbers):
                at = self.start + page * PAGE
                self.area[at : at + 8] = struct.pack("=Q", page)
                self.written.add(page)
        elif name == "verify":
            fine = all(
                self.area[self.start + page * PAGE : self.start + page * PAGE + 8] == struct.pack("=Q", page)
                for page in self.written
            )
            return "same" if fine else "differs"
        elif name == "share":
            if os.fork() == 0:
                for page in range(self.pages):
                    self.area[self.start + page * PAGE]
                while os.getppid() != 1:
                    time.sleep(0.05)
                os._exit(0)
        elif name == "collapse":
            assert LIBC.madvise(self.base, self.pages * PAGE, 14) == 0
            self.obey(["write", "0", str(self.pages), "1"])
        elif name == "lock":
            assert LIBC.mlock(self.base + numbers[0] * PAGE, (numbers[1] - numbers[0]) * PAGE) == 0
        elif name in ("hide", "show"):
            protection = mmap.PROT_READ | mmap.PROT_WRITE if name == "show" else 0
            assert LIBC.mprotect(self.base + numbers[0] * PAGE, (numbers[1] - numbers[0]) * PAGE, protection) == 0
        elif name == "reserve":
            self.reserved = mmap.mmap(-1, numbers[0] << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
            return str(address_of(self.reserved))
        elif name == "exec":
            os.execv(sys.executable, [sys.executable, *sys.argv])
        return "done"


def main() -> None:
    victim = Victim(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    print(victim.base, flush=True)
    for line in sys.stdin:
        print(victim.obey(line.split()), flush=True)


if __name__ == "__main__":
    main()
