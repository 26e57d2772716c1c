# SPDX-License-Identifier: GPL-2.0-only
"""Actions on physical memory, checked by what the kernel reports of the pages afterwards."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from damon.model.arrays import FOLIO_UNEVICTABLE
from tests.page_flags import KPF_ACTIVE
from tests.vm.guest.linux_mm.stage import PAGE, check, filled, machine, passing, settle, victim
from tests.vm.guest.pages import PFN_MASK, PRESENT, pagemap


@check
def pageout_takes_what_it_says() -> dict[str, Any]:
    with victim(16) as other, machine() as ours:
        filled(other)
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
        filled(other)
        other.tell("lock 1000 1002")
        other.tell("lock 3000 3001")
        other.tell("hide 2000 2004")
        at = {page: entry & PFN_MASK for page, entry in enumerate(other.entries()) if page % 2 or page < 1400}
        folios = passing(ours, list(at.values()))
        for folio in folios:
            folio.flags &= ~FOLIO_UNEVICTABLE
        ours.phys.activate(folios)
        flags = dict(zip(range(other.pages), other.flags(), strict=True))
        active = sum(bool(flags[page] & KPF_ACTIVE) for page in at)
        hidden = [page for page in at if 2000 <= page < 2004]
        assert not any(flags[page] & KPF_ACTIVE for page in hidden)
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
        filled(other)
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
        filled(other)
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
