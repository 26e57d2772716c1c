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
pass                    the answer comes when it has been through all of these once, from first to last
drop FIRST END          MADV_DONTNEED
grow PAGES              map so much more and write it; the answer is its address. huge PAGES: of hugetlbfs
again                   write all that grew
move PAGES              mremap() what grew to twice its size, elsewhere; the answer is its address
file PATH               map that file's first 2 MiB for reading; the answer is its address
peek FIRST END          read those pages of it
readinto FIRST END      have read(2) write those pages
replace FIRST END       map fresh memory in place of those pages
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
MAP_FIXED = 0x10
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
        self.passes = 0  #: of spin
        self.scratch = mmap.mmap(-1, FLUSH_PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # The kernel flushes from the first page that is there to the last.
        for page in (0, FLUSH_PAGES - 1):
            self.scratch[page * PAGE] = 1

    def flush(self) -> None:
        for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE):
            assert LIBC.mprotect(address_of(self.scratch), FLUSH_PAGES * PAGE, protection) == 0

    def keep(self, *words: int) -> None:
        while True:
            self.do_touch(*words)
            time.sleep(0.001)

    def spin(self, first: int, end: int, step: int) -> None:
        at = range(self.start + first * PAGE, self.start + end * PAGE, step * PAGE)
        while True:
            for offset in at:
                self.area[offset]
            self.passes += 1

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

    def obey(self, words: list[str]) -> str:
        """The answer to one command: ``do_NAME``, "done" where that has none."""
        return getattr(self, f"do_{words[0]}")(*(int(word) if word.isdigit() else word for word in words[1:])) or "done"

    def at(self, page: int) -> int:
        return self.base + page * PAGE

    def do_touch(self, first: int, end: int, step: int) -> None:
        self.flush()
        for page in range(first, end, step):
            self.area[self.start + page * PAGE]

    def do_keep(self, *words: int) -> None:
        threading.Thread(target=self.keep, args=words, daemon=True).start()

    def do_write(self, first: int, end: int, step: int) -> None:
        self.flush()
        for page in range(first, end, step):
            at = self.start + page * PAGE
            self.area[at : at + 8] = struct.pack("=Q", page)
            self.written.add(page)

    def do_verify(self) -> str:
        places = ((page, self.start + page * PAGE) for page in self.written)
        return "same" if all(self.area[at : at + 8] == struct.pack("=Q", page) for page, at in places) else "differs"

    def do_share(self) -> None:
        if os.fork() == 0:
            for page in range(self.pages):
                self.area[self.start + page * PAGE]
            while os.getppid() != 1:
                time.sleep(0.05)
            os._exit(0)

    def do_collapse(self) -> None:
        assert LIBC.madvise(self.base, self.pages * PAGE, 14) == 0
        self.do_write(0, self.pages, 1)

    def do_lock(self, first: int, end: int) -> None:
        assert LIBC.mlock(self.at(first), (end - first) * PAGE) == 0

    def do_hide(self, first: int, end: int, protection: int = 0) -> None:
        assert LIBC.mprotect(self.at(first), (end - first) * PAGE, protection) == 0

    def do_show(self, first: int, end: int) -> None:
        self.do_hide(first, end, mmap.PROT_READ | mmap.PROT_WRITE)

    def do_reserve(self, gib: int) -> str:
        self.reserved = mmap.mmap(-1, gib << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        return str(address_of(self.reserved))

    def do_spin(self, *words: int) -> None:
        threading.Thread(target=self.spin, args=words, daemon=True).start()

    def do_pass(self) -> None:
        whole = self.passes + 2  # one is under way
        while self.passes < whole:
            time.sleep(0.001)

    def do_drop(self, first: int, end: int) -> None:
        assert LIBC.madvise(self.at(first), (end - first) * PAGE, 4) == 0

    def do_grow(self, pages: int) -> str:
        return self.map_more(pages, 0)

    def do_huge(self, pages: int) -> str:
        return self.map_more(pages, MAP_HUGETLB)

    def do_move(self, pages: int) -> str:
        return self.move(pages)

    def do_replace(self, first: int, end: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
        assert LIBC.mmap(self.at(first), (end - first) * PAGE, 3, flags, -1, 0) == self.at(first)

    def do_again(self) -> None:
        ctypes.memset(self.grown, 2, self.grown_pages * PAGE)

    def do_readinto(self, first: int, end: int) -> None:
        with open("/dev/zero", "rb", buffering=0) as zero:
            place = memoryview(self.area)[self.start + first * PAGE : self.start + end * PAGE]
            assert zero.readinto(place) == len(place)

    def do_file(self, path: str) -> str:
        with open(path, "rb") as file:
            self.file = mmap.mmap(file.fileno(), 2 << 20, flags=mmap.MAP_PRIVATE)
        return str(address_of(self.file))

    def do_peek(self, first: int, end: int) -> None:
        self.flush()
        for page in range(first, end):
            self.file[page * PAGE]

    def do_uffd(self) -> None:
        self.uffd = LIBC.syscall(SYS_USERFAULTFD, 1)
        assert self.uffd >= 0

    def do_exec(self) -> None:
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main() -> None:
    victim = Victim(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    print(victim.base, flush=True)
    for line in sys.stdin:
        print(victim.obey(line.split()), flush=True)


if __name__ == "__main__":
    main()
