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
spin FIRST END STEP     as keep, without a pause, and without having the processor forget translations
drop FIRST END          MADV_DONTNEED
grow PAGES              map so much more and write it; the answer is its address. huge PAGES: of hugetlbfs
again                   write all that grew
move PAGES              mremap() what grew to twice its size, elsewhere; the answer is its address
file PATH               map that file's first 2 MiB for reading; the answer is its address
peek FIRST END          read those pages of it
readinto FIRST END      have read(2) write those pages
uffd                    make a userfaultfd
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
MAP_NORESERVE, MAP_HUGETLB = 0x4000, 0x40000
MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2
SYS_USERFAULTFD = 323 if os.uname().machine == "x86_64" else 282
LIBC.mmap.restype = LIBC.mremap.restype = ctypes.c_size_t
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
LIBC.mremap.argtypes = (*[ctypes.c_size_t] * 3, ctypes.c_int, ctypes.c_size_t)


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

    def spin(self, first: int, end: int, step: int) -> None:
        at = range(self.start + first * PAGE, self.start + end * PAGE, step * PAGE)
        while True:
            for offset in at:
                self.area[offset]

    def map_more(self, pages: int, flags: int) -> str:
        self.grown = LIBC.mmap(None, pages * PAGE, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | flags, -1, 0)
        assert self.grown != (1 << 64) - 1, os.strerror(ctypes.get_errno())
        self.grown_pages = pages
        ctypes.memset(self.grown, 1, pages * PAGE)
        return str(self.grown)

    def move(self, pages: int) -> str:
        moved = LIBC.mremap(
            self.grown, self.grown_pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, self.far()
        )
        assert moved != (1 << 64) - 1, os.strerror(ctypes.get_errno())
        self.grown, self.grown_pages = moved, pages
        return str(moved)

    def far(self) -> int:
        """Addresses that nothing is at."""
        self.place = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        return address_of(self.place)

    # Long: a branch for each command.
    def obey(self, words: list[str]) -> str:
        name, numbers = words[0], [int(word) for word in words[1:] if word.isdigit()]
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
        elif name == "spin":
            threading.Thread(target=self.spin, args=numbers, daemon=True).start()
        elif name == "drop":
            assert LIBC.madvise(self.base + numbers[0] * PAGE, (numbers[1] - numbers[0]) * PAGE, 4) == 0
        elif name == "grow":
            return self.map_more(numbers[0], 0)
        elif name == "huge":
            return self.map_more(numbers[0], MAP_HUGETLB)
        elif name == "move":
            return self.move(numbers[0])
        elif name == "again":
            ctypes.memset(self.grown, 2, self.grown_pages * PAGE)
        elif name == "readinto":
            with open("/dev/zero", "rb", buffering=0) as zero:
                first, end = (self.start + number * PAGE for number in numbers)
                assert zero.readinto(memoryview(self.area)[first:end]) == end - first
        elif name == "file":
            with open(words[1], "rb") as file:
                self.file = mmap.mmap(file.fileno(), 2 << 20, flags=mmap.MAP_PRIVATE)
            return str(address_of(self.file))
        elif name == "peek":
            self.flush()
            for page in range(*numbers):
                self.file[page * PAGE]
        elif name == "uffd":
            self.uffd = LIBC.syscall(SYS_USERFAULTFD, 1)
            assert self.uffd >= 0
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
