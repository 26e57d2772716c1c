# SPDX-License-Identifier: GPL-2.0-only
"""Checks of ``damon.mm.linux`` on the running kernel, for a guest. Each reads back what happened.

Prints one JSON object: of each check ``ok``, ``error`` (the traceback) and what it measured.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from damon.errors import MissingCapability
from damon.mm.interface import Advice
from damon.mm.linux import LinuxMachine, native
from damon.mm.linux import reference as ref
from damon.model.arrays import FOLIO_PASS, FOLIO_UNEVICTABLE, U8, U64, Buffer, FolioArray
from tests.vm.guest.pages import PFN_MASK, PRESENT, SWAPPED, page_flags, pagemap

PAGE = 4096
CHECKS: dict[str, Callable[[], dict[str, Any] | None]] = {}


def check(function: Callable[[], dict[str, Any] | None]) -> Callable[[], dict[str, Any] | None]:
    CHECKS[function.__name__] = function
    return function


class Victim:
    """The other process, and what the kernel says of its area."""

    def __init__(self, mib: int, path: str = "") -> None:
        words = [sys.executable, "-m", "tests.vm.guest.victim", str(mib), path]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.pages = mib * 256
        self.base = int(self.answer())

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def entries(self) -> list[int]:
        return pagemap(self.pid, self.base, self.base + self.pages * PAGE)

    def present(self) -> int:
        return sum(bool(entry & PRESENT) for entry in self.entries())

    def frames(self) -> list[int]:
        return [entry & PFN_MASK for entry in self.entries() if entry & PRESENT]

    def flags(self) -> list[int]:
        fd = os.open("/proc/kpageflags", os.O_RDONLY)
        try:
            return page_flags(fd, self.frames())
        finally:
            os.close(fd)

    def active(self) -> int:
        return sum(flags & (ref.KPF_LRU | ref.KPF_ACTIVE) == ref.KPF_LRU | ref.KPF_ACTIVE for flags in self.flags())


@contextmanager
def victim(mib: int, path: str = "") -> Iterator[Victim]:
    other = Victim(mib, path)
    try:
        yield other
    finally:
        with suppress(ProcessLookupError):
            other.process.kill()
        other.process.wait()
        if path:
            os.unlink(path)


@contextmanager
def machine(reference: bool = False) -> Iterator[LinuxMachine]:
    ours = LinuxMachine(reference=reference)
    ours.require("paddr", ["pageout", "lru_prio", "lru_deprio"])
    try:
        yield ours
    finally:
        ours.close()


def buffer(values: list[int]) -> Buffer:
    rows = Buffer(U64, max(1, len(values)))
    for i, value in enumerate(values):
        rows[i] = value
    return rows


def young(space: Any, addrs: Buffer, nr: int) -> list[int]:
    out = Buffer(U8, max(1, nr))
    space.young(addrs, nr, out)
    return [out[i] for i in range(nr)]


def settle(other: Victim) -> None:
    """Pages wait in per-CPU batches before they are on a list; drain those of both processors."""
    cpus = os.sched_getaffinity(0)
    with machine() as ours:
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            native.checked(native.drain(ours.files().pointer))
    os.sched_setaffinity(0, cpus)
    lru = sum(bool(flags & ref.KPF_LRU) for flags in other.flags())
    assert lru >= other.present() - 2, f"{lru} of {other.present()} pages are on a list"


def passing(ours: LinuxMachine, frames: list[int]) -> FolioArray:
    """The folios of these page frames, as a walk over them finds them, all passing."""
    wanted, rows = set(frames), []
    for batch in ours.phys.folios(min(frames) * PAGE, (max(frames) + 1) * PAGE):
        rows += [(f.pfn, f.nr_pages, f.flags) for f in batch if f.pfn in wanted]
    folios = FolioArray(max(1, len(rows)))
    folios.nr = len(rows)
    for i, (pfn, pages, flags) in enumerate(rows):
        folios.rows[i].pfn, folios.rows[i].nr_pages, folios.rows[i].flags = pfn, pages, flags | FOLIO_PASS
    return folios


def _accessed(space_of: Callable[[LinuxMachine, Victim], tuple[Any, list[int]]], reference: bool) -> dict[str, Any]:
    with victim(8) as other, machine(reference) as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        space, values = space_of(ours, other)
        addrs, nr = buffer(values), len(values)
        space.mkold(addrs, nr)
        idle = young(space, addrs, nr)
        space.mkold(addrs, nr)
        other.tell(f"touch 0 {other.pages} 2")
        found = young(space, addrs, nr)
        again = young(space, addrs, nr)
        calls = ours.counters()
    right = sum(got == (page % 2 == 0) for page, got in enumerate(found))
    assert sum(idle) <= 2, f"{sum(idle)} of {nr} untouched pages were accessed"
    assert right >= nr - 4, f"{right} of {nr} pages right"
    assert found == again
    return {"right": right, "pages": nr, "calls": calls}


def _virtual(ours: LinuxMachine, other: Victim) -> tuple[Any, list[int]]:
    return ours.open_process(other.pid), [other.base + page * PAGE + 123 for page in range(other.pages)]


def _physical(ours: LinuxMachine, other: Victim) -> tuple[Any, list[int]]:
    return ours.phys, [pfn * PAGE + 77 for pfn in other.frames()]


@check
def vaddr_sees_each_access() -> dict[str, Any]:
    return _accessed(_virtual, reference=False)


@check
def paddr_sees_each_access() -> dict[str, Any]:
    return _accessed(_physical, reference=False)


@check
def vaddr_reference_sees_the_same() -> dict[str, Any]:
    return _accessed(_virtual, reference=True)


@check
def paddr_reference_sees_the_same() -> dict[str, Any]:
    return _accessed(_physical, reference=True)


@check
def huge_page_answers_for_each_of_its_addresses() -> dict[str, Any]:
    with victim(8) as other, machine() as ours:
        other.tell("collapse")
        settle(other)
        huge = sum(bool(flags & ref.KPF_THP) for flags in other.flags())
        assert huge == other.pages, f"{huge} of {other.pages} pages are in huge pages"
        seen = {}
        for name, (space, values) in {"vaddr": _virtual(ours, other), "paddr": _physical(ours, other)}.items():
            addrs = buffer(values)
            space.mkold(addrs, other.pages)
            assert sum(young(space, addrs, other.pages)) == 0
            space.mkold(addrs, other.pages)
            other.tell("touch 700 701 1")  # in the second
            found = young(space, addrs, other.pages)
            assert found == [int(512 <= page < 1024) for page in range(other.pages)]
            seen[name] = sum(found)
        heads = [f.nr_pages for f in passing(ours, other.frames())]
        assert heads == [512] * 4
        return seen


@check
def page_that_was_swapped() -> dict[str, Any]:
    """Gone: not accessed. Back by a fault, in another page frame: accessed."""
    with victim(4) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        space = ours.open_process(other.pid)
        addrs = buffer([other.base + page * PAGE for page in range(other.pages)])
        space.mkold(addrs, other.pages)
        assert space.madvise(other.base, other.pages * PAGE, Advice.PAGEOUT) == 0
        swapped = sum(bool(entry & SWAPPED) for entry in other.entries())
        gone = young(space, addrs, other.pages)
        other.tell(f"touch 0 {other.pages} 4")
        back = young(space, addrs, other.pages)
        here = [bool(entry & PRESENT) for entry in other.entries()]
    assert swapped > other.pages * 0.95
    assert sum(gone) <= other.pages - swapped
    assert all(back[page] for page in range(0, other.pages, 4))
    assert all(not got or there for got, there in zip(back, here, strict=True))
    return {"swapped": swapped, "back": sum(back)}


@check
def page_that_migrates_keeps_its_state() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        if not Path("/sys/devices/system/node/node1").exists():
            raise AssertionError("the guest needs two NUMA nodes")
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        space = ours.open_process(other.pid)
        addrs = buffer([other.base + page * PAGE for page in range(other.pages)])
        results: dict[str, Any] = {}
        for name, touch in (("idle", False), ("touched", True)):
            space.mkold(addrs, other.pages)
            if touch:
                other.tell(f"touch 0 {other.pages} 1")
            before = other.frames()
            moved = _migrate(other, 1 if name == "idle" else 0)
            changed = sum(a != b for a, b in zip(before, other.frames(), strict=True))
            results[name] = (changed, sum(young(space, addrs, other.pages)), moved)
            settle(other)
    assert results["idle"][0] > other.pages * 0.9, results
    assert results["idle"][1] <= other.pages * 0.05, results
    assert results["touched"][0] > other.pages * 0.9, results
    assert results["touched"][1] >= other.pages * 0.95, results
    return results


def _migrate(other: Victim, node: int) -> int:
    """move_pages(2) of the whole area."""
    pages = (ctypes.c_void_p * other.pages)(*[other.base + page * PAGE for page in range(other.pages)])
    nodes, status = (ctypes.c_int * other.pages)(*[node] * other.pages), (ctypes.c_int * other.pages)()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(279, ctypes.c_long(other.pid), ctypes.c_ulong(other.pages), pages, nodes, status, 2)
    return sum(got == node for got in status)


@check
def pageout_takes_what_it_says() -> dict[str, Any]:
    with victim(16) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        before = other.present()
        folios = passing(ours, other.frames()[: other.pages // 2])
        begin = time.thread_time()
        left = ours.phys.pageout(folios)
        seconds = time.thread_time() - begin
        gone = before - other.present()
        result = ours.physical.last_result
        assert left == gone, f"{left} said, {gone} gone"
        assert gone >= other.pages // 2 * 0.98, f"{gone} of {folios.nr}"
        assert ours.phys.pageout(folios) == 0  # nothing there any more
        assert other.tell("verify") == "same"
        calls = ours.counters()
    return {"left": left, "folios": folios.nr, "ms": seconds * 1e3, "calls": calls} | {
        field[0]: getattr(result, field[0]) for field in result._fields_
    }


@check
def pageout_of_mapped_file_pages() -> dict[str, Any]:
    with machine() as ours, victim(8, "/tmp/victim.file") as other:
        other.tell(f"touch 0 {other.pages} 1")
        settle(other)
        before = other.present()
        folios = passing(ours, other.frames())
        left = ours.phys.pageout(folios)
        gone = before - other.present()
        assert left <= gone
        assert left >= 0.9 * before, f"{left} of {before}, unmapped {gone}"
        return {"left": left, "before": before, "unmapped": gone}


@check
def pageout_spares_shared_and_locked_pages() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        other.tell("share")
        settle(other)
        before = other.present()
        left = ours.phys.pageout(passing(ours, other.frames()))
        shared = ours.physical.last_result.shared
        assert left == 0
        assert other.present() == before
        assert shared >= before * 0.95, f"{shared} of {before} were found to be shared"
        return {"shared": shared, "present": before}


@check
def refused_ranges_do_not_stop_the_others() -> dict[str, Any]:
    """mlocked pages for advice, unreadable ones for reading; more ranges and pages than one call takes."""
    with victim(16) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        other.tell("lock 1000 1002")
        other.tell("lock 3000 3001")
        other.tell("hide 2000 2004")
        at = {page: entry & PFN_MASK for page, entry in enumerate(other.entries()) if page % 2 or page < 1400}
        folios = passing(ours, list(at.values()))
        for folio in folios:
            folio.flags &= ~FOLIO_UNEVICTABLE
        ours.phys.activate(folios)
        flags = dict(zip(range(other.pages), other.flags(), strict=True))
        active = sum(bool(flags[page] & ref.KPF_ACTIVE) for page in at)
        hidden = [page for page in at if 2000 <= page < 2004]
        assert not any(flags[page] & ref.KPF_ACTIVE for page in hidden)
        assert active >= len(at) - 3 - len(hidden) - 4, f"{active} of {len(at)}"
        left = ours.phys.pageout(folios)
        here = {page for page, entry in enumerate(other.entries()) if entry & PRESENT}
        locked = {1000, 1001, 3000} & set(at)
        assert locked <= here
        gone = sum(page not in here for page in at)
        assert left == gone
        assert gone >= len(at) - len(locked) - 4, f"{gone} of {len(at)}"
        others = set(range(other.pages)) - set(at)
        assert others <= here
        other.tell("show 2000 2004")
        assert other.tell("verify") == "same"
        return {"wanted": len(at), "active": active, "left": left, "calls": ours.counters()}


@check
def pageout_leaves_this_process_alone() -> dict[str, Any]:
    with machine() as ours:
        block = bytearray(1 << 20)
        at = ctypes.addressof(ctypes.c_char.from_buffer(block)) // PAGE * PAGE + PAGE
        frames = [entry & PFN_MASK for entry in pagemap(os.getpid(), at, at + 100 * PAGE) if entry & PRESENT]
        left = ours.phys.pageout(passing(ours, frames))
        assert left == 0
        return {"own": ours.physical.last_result.own}


@check
def activate_and_deactivate() -> dict[str, Any]:
    with victim(16) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        at_first = other.active()
        folios = passing(ours, other.frames())
        assert ours.phys.activate(folios) == folios.nr
        up, result = other.active(), ours.physical.last_result
        folios = passing(ours, other.frames())
        assert ours.phys.deactivate(folios) == folios.nr
        down = other.active()
        pages, calls = other.present(), ours.counters()
    assert up >= 0.98 * pages, f"{at_first}, then {up} of {pages} active ({result.acted} read)"
    assert down <= 0.02 * pages, f"{down} of {pages} still active"
    return {"pages": pages, "at_first": at_first, "activated": up, "still_active": down, "calls": calls}


@check
def young_filter_spares_touched_folios() -> dict[str, Any]:
    with victim(8) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        folios = passing(ours, other.frames())
        ours.phys.folios_young(folios)
        never_idle = sum(bool(f.flags & 1 << 4) for f in folios)
        ours.phys.folios_mkold(folios)
        other.tell(f"touch 0 {other.pages // 4} 1")
        ours.phys.folios_young(folios)
        touched = {entry & PFN_MASK for entry in other.entries()[: other.pages // 4]}
        right = sum(bool(f.flags & 1 << 4) == (f.pfn in touched) for f in folios)
    assert never_idle == folios.nr  # as in the kernel: what was never made old counts as young
    assert right >= folios.nr - 4, f"{right} of {folios.nr}"
    return {"right": right, "folios": folios.nr}


@check
def walk_finds_what_is_on_the_lists() -> dict[str, Any]:
    """All folios of System RAM together are the kernel's own count of pages on LRU lists."""
    with machine() as ours:
        begin, pages, folios = time.thread_time(), 0, 0
        for start, end in ours.system_ram():
            for batch in ours.phys.folios(start, end):
                pages += sum(f.nr_pages for f in batch)
                folios += batch.nr
        seconds = time.thread_time() - begin
        stat = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        lists = ("nr_active_anon", "nr_inactive_anon", "nr_active_file", "nr_inactive_file", "nr_unevictable")
        kernel = sum(int(stat[name]) for name in lists)
    assert abs(pages - kernel) <= 0.02 * kernel + 300, f"{pages} found, the kernel counts {kernel}"
    return {"pages": pages, "kernel": kernel, "folios": folios, "ms": seconds * 1e3}


@check
def reverse_map_knows_the_mapper() -> dict[str, Any]:
    with victim(16) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        ours.physical.rmap.build(0, 1 << 22)
        entries = other.entries()
        right = sum(
            ours.physical.rmap.get(entry & PFN_MASK) == (other.pid, other.base // PAGE + page)
            for page, entry in enumerate(entries)
            if entry & PRESENT
        )
        result = {
            "right": right,
            "pages": other.pages,
            "entries": len(ours.physical.rmap),
            "ms": ours.physical.rmap.cost_ns / 1e6,
        }
        begin = time.monotonic()
        ours.physical.rmap.build(0, 1 << 22)
        result["again_ms"] = (time.monotonic() - begin) * 1e3
        scans = ours.counters()["pagemap_scan"]
    assert right == other.pages
    assert scans > 0
    return result


@check
def mappings_are_those_of_maps() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        space = ours.open_process(other.pid)
        lines = Path(f"/proc/{other.pid}/maps").read_text().splitlines()
        expected = [
            tuple(int(edge, 16) for edge in line.split()[0].split("-")) for line in lines if "[vsyscall]" not in line
        ]
        assert list(space.mappings()) == expected
        assert any("[vdso]" in line for line in lines)
        begin = time.thread_time()
        for _ in range(20):
            space.mappings()
        return {"mappings": len(expected), "us": (time.thread_time() - begin) / 20 * 1e6}


@check
def advice_as_madvise_has_it() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        space = ours.open_process(other.pid)
        maps = space.mappings()
        hole = next(end for (_, end), (start, _) in zip(maps, maps[1:], strict=False) if start > end)
        assert space.madvise(hole, PAGE, Advice.COLD) == -errno.ENOMEM
        assert space.madvise(other.base, PAGE, Advice.HUGEPAGE) == -errno.EINVAL
        assert space.madvise(other.base, PAGE, Advice.NOHUGEPAGE) == -errno.EINVAL
        assert space.madvise(other.base + 1, PAGE, Advice.COLD) == -errno.EINVAL
        assert space.madvise(other.base, 0, Advice.COLD) == 0
        assert space.madvise(other.base, other.pages * PAGE, Advice.COLD) == 0
        assert space.madvise(other.base, other.pages * PAGE, Advice.PAGEOUT) == 0
        gone = other.pages - other.present()
        assert space.madvise(other.base, other.pages * PAGE, Advice.WILLNEED) == 0
        reserved = int(other.tell("reserve 5"))
        assert space.madvise(reserved, 5 << 30, Advice.COLD) == 0  # more than one call takes
        other.tell(f"write 0 {other.pages} 1")
        collapsed = space.madvise(other.base, other.pages * PAGE, Advice.COLLAPSE)
        assert collapsed == 0, os.strerror(-collapsed)
        huge = sum(bool(flags & ref.KPF_THP) for flags in other.flags())
        assert gone >= 0.95 * other.pages
        assert huge == other.pages
        return {"gone": gone, "huge": huge}


@check
def process_that_executes_and_exits() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        space = ours.open_process(other.pid)
        addrs = buffer([other.base + page * PAGE for page in range(64)])
        space.mkold(addrs, 64)
        other.base = int(other.tell("exec"))
        assert sum(young(space, addrs, 64)) == 0
        other.tell(f"write 0 {other.pages} 1")
        settle(other)
        addrs = buffer([other.base + page * PAGE for page in range(64)])
        space.mkold(addrs, 64)
        other.tell("touch 0 64 1")
        follows = sum(young(space, addrs, 64))
        assert follows >= 62, f"{follows} of 64 after exec"
        frames = other.frames()
        folios = passing(ours, frames)
        space.mkold(addrs, 64)
        other.process.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert space.alive()  # a zombie
        assert list(space.mappings()) == []
        assert sum(young(space, addrs, 64)) == 0
        space.mkold(addrs, 64)
        assert space.madvise(other.base, PAGE, Advice.COLD) < 0
        other.process.wait()
        assert not space.alive()
        space.mkold(addrs, 64)
        assert sum(young(space, addrs, 64)) == 0
        assert space.madvise(other.base, PAGE, Advice.COLD) == -errno.ESRCH
        assert ours.phys.pageout(folios) == 0
        return {"after_exec": follows}


@check
def addresses_without_memory() -> dict[str, Any]:
    with machine() as ours, victim(1) as other:
        end = max(end for _, end in ours.system_ram())
        values = [0, 0xA0000, end - PAGE, end, end + (1 << 30), 1 << 45, (1 << 57) - 1, (1 << 64) - 1]
        addrs = buffer(values)
        ours.phys.mkold(addrs, len(values))
        found = young(ours.phys, addrs, len(values))
        assert sum(found[3:]) == 0
        space = ours.open_process(other.pid)
        space.mkold(addrs, len(values))
        assert sum(young(space, addrs, len(values))) == 0
        assert list(ours.phys.folios(end, end + (1 << 30))) == []
        return {"max": end}


@check
def kernel_threads_have_no_memory() -> dict[str, Any]:
    with machine() as ours:
        space = ours.open_process(2)
        addrs = buffer([4096])
        space.mkold(addrs, 1)
        assert young(space, addrs, 1) == [0]
        assert list(space.mappings()) == []
        assert space.alive()
        assert space.madvise(4096, PAGE, Advice.COLD) < 0
        return {}


@check
def processes_come_and_go() -> dict[str, Any]:
    """Two contexts' worth of work, in threads, while processes start and end all the time."""
    done, failed, rounds = threading.Event(), [], [0, 0]
    descriptors = len(os.listdir("/proc/self/fd"))
    with machine() as ours, victim(8) as other:
        other.tell(f"write 0 {other.pages} 1")

        def sample() -> None:
            space = ours.open_process(other.pid)
            virtual = buffer([other.base + page * PAGE for page in range(other.pages)])
            physical = buffer([pfn * PAGE for pfn in range(0, 1 << 18, 97)])
            while not done.is_set():
                for target, addrs, nr in ((space, virtual, other.pages), (ours.phys, physical, (1 << 18) // 97)):
                    target.mkold(addrs, nr)
                    young(target, addrs, nr)
                rounds[0] += 1
            space.close()

        def act() -> None:
            ram = ours.system_ram()
            while not done.is_set():
                ours.physical.rmap.build(0, 1 << 22)
                for start, end in ram:
                    for folios in ours.phys.folios(start, end):
                        for folio in folios:
                            folio.flags |= FOLIO_PASS if folio.pfn % 8 == 0 else 0
                        ours.phys.deactivate(folios)
                        ours.phys.activate(folios)
                rounds[1] += 1

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException:
                failed.append(traceback.format_exc())

        threads = [threading.Thread(target=guarded, args=(work,)) for work in (sample, act)]
        for thread in threads:
            thread.start()
        started = 0
        until = time.monotonic() + 6
        while time.monotonic() < until:
            children = [subprocess.Popen(["/bin/sh", "-c", "exit 0"]) for _ in range(4)]
            started += len(children)
            for child in children:
                child.wait()
        done.set()
        for thread in threads:
            thread.join()
        assert not failed, failed[0]
        assert min(rounds) >= 1, rounds
        assert other.tell("verify") == "same"
    gc.collect()
    left = len(os.listdir("/proc/self/fd")) - descriptors
    assert left <= 2, f"{left} more descriptors than before, of which the pipes to the victim are two"
    return {"processes": started, "rounds": rounds}


@check
def what_is_missing_is_said() -> dict[str, Any]:
    said = {}
    with closing(LinuxMachine()) as ours:
        ours.require("vaddr", ["pageout"])
        subprocess.run(["swapoff", "-a"], check=True)
        try:
            ours.require("paddr", ["pageout:file"])
            ours.require("paddr", ["pageout"])
            raise AssertionError("no swap, and nothing was said")
        except MissingCapability as error:
            said["swap"] = str(error)
        finally:
            subprocess.run(["swapon", "/dev/zram0"], check=True)
    child = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    said["user"] = child.stdout.strip()
    assert "CAP_SYS_ADMIN" in said["user"], child.stdout + child.stderr
    return said


_UNPRIVILEGED = """
import os
os.setgid(65534); os.setuid(65534)
from damon.errors import MissingCapability
from damon.mm.linux import LinuxMachine
try:
    LinuxMachine().require("paddr", [])
except MissingCapability as error:
    print(error)
"""


@check
def system_facts() -> dict[str, Any]:
    with machine() as ours:
        ram = ours.system_ram()
        free, total = ours.free_mem()
        mib = sum(end - start for start, end in ram) >> 20
        assert 900 <= mib <= 1100
        assert 0 < free < total
        begin = time.thread_time()
        for _ in range(200):
            ours.free_mem()
        free_us = (time.thread_time() - begin) / 200 * 1e6
        stall = ours.psi_some_us()
        text = Path("/proc/pressure/memory").read_text()
        active, inactive = ours.lru_pages()
        assert min(active, inactive) > 0
        assert active + inactive < total
        assert 0 <= stall <= int(text.split("total=")[1].split()[0])
        return {"mib": mib, "free_mem_us": free_us, "psi": stall}


def main() -> None:
    wanted = sys.argv[1:] or list(CHECKS)
    report: dict[str, Any] = {}
    for name in wanted:
        begin = time.monotonic()
        try:
            report[name] = {"ok": True, "saw": CHECKS[name]()}
        except BaseException:
            report[name] = {"ok": False, "error": traceback.format_exc()}
        report[name]["seconds"] = round(time.monotonic() - begin, 2)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
