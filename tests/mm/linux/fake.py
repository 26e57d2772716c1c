# SPDX-License-Identifier: GPL-2.0-only
"""A made-up kernel in ordinary files: page flags, idle bitmap, pagemaps. The C routines take their descriptors."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from damon.mm.linux.native import Files
from damon.model.arrays import FOLIO_MAPPED, FOLIO_PASS, DamonFolio, FolioArray
from damon.model.machine import Closing
from tests.page_flags import PM_EXCLUSIVE, PM_PRESENT


def write_u64(path: Path, values: Sequence[int]) -> None:
    """``values`` at the beginning of ``path``, which keeps the rest."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, struct.pack(f"={len(values)}Q", *values), 0)
    os.close(fd)


def read_u64(path: Path) -> list[int]:
    raw = path.read_bytes()
    return list(struct.unpack(f"={len(raw) // 8}Q", raw))


class FakeKernel(Closing):
    """The files of one made-up machine in ``directory``, and ``files`` as the routines take them."""

    def __init__(self, directory: Path, flags: Sequence[int]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.flags = list(flags)
        self.proc = directory / "proc"
        self.proc.mkdir(exist_ok=True)
        write_u64(directory / "kpageflags", flags)
        (directory / "bitmap").write_bytes(bytes(8 * ((len(flags) + 63) // 64)))
        self.files = Files(
            bitmap=os.open(directory / "bitmap", os.O_RDWR),
            kpageflags=os.open(directory / "kpageflags", os.O_RDONLY),
            proc=os.open(self.proc, os.O_RDONLY),
        )

    def bitmap(self) -> list[int]:
        """The idle page frames."""
        return [
            64 * i + bit for i, w in enumerate(read_u64(self.directory / "bitmap")) for bit in range(64) if w >> bit & 1
        ]

    def clear_idle(self, pfns: Sequence[int]) -> None:
        words = read_u64(self.directory / "bitmap")
        for pfn in pfns:
            if pfn // 64 < len(words):
                words[pfn // 64] &= ~(1 << pfn % 64)
        write_u64(self.directory / "bitmap", words)

    def set_flags(self, flags: Sequence[int]) -> None:
        self.flags = list(flags)
        write_u64(self.directory / "kpageflags", flags)

    def process(self, pid: int, maps: Sequence[tuple[int, int]], pages: dict[int, int]) -> Path:
        """A process with mappings (page numbers) and pagemap entries; the path of its pagemap."""
        where = self.proc / str(pid)
        where.mkdir(exist_ok=True)
        (where / "maps").write_text("".join(f"{a << 12:x}-{b << 12:x} rw-p 00000000 00:00 0 \n" for a, b in maps))
        end = max([b for _, b in maps] + [page + 1 for page in pages], default=1)
        entries = [0] * end
        for page, entry in pages.items():
            entries[page] = entry
        write_u64(where / "pagemap", entries)
        return where / "pagemap"

    def close(self) -> None:
        for fd in (self.files.bitmap, self.files.kpageflags, self.files.kpagecgroup, self.files.proc):
            if fd >= 0:
                os.close(fd)


def present(pfn: int, exclusive: bool = True) -> int:
    return PM_PRESENT | (PM_EXCLUSIVE if exclusive else 0) | pfn


#: Of a folio that an action is to reach.
WANTED = FOLIO_PASS | FOLIO_MAPPED


def batch(*rows: tuple[int, int, int]) -> FolioArray:
    """(pfn, pages, flags) rows."""
    folios = FolioArray(max(1, len(rows)))
    folios.nr = len(rows)
    for i, (pfn, pages, flags) in enumerate(rows):
        folios.rows[i] = DamonFolio(pfn=pfn, nr_pages=pages, flags=flags)
    return folios
